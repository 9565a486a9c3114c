"""Customers and groups that go from one member to another (在职继承, 离职继承)."""
