"""Plans (群日历、朋友圈日历): what customer groups and moments get on which day, confirmed by their owners."""
