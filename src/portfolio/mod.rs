//! Allocation of strategies and capital, and arbitration of orders.
