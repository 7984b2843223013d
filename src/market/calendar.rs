//! Exchange sessions in America/New_York.
