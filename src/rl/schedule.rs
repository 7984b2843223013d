//! Schedules: exploration ladder, importance exponent, how many gradient steps are due.
