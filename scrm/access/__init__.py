"""Who may do what: modules and rights, roles, the reach of their data, local accounts."""
