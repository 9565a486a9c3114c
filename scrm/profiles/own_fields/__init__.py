"""Fields that a shop defines for itself: of persons, orders and relations."""
