//! A sum tree over priorities: proportional sampling in logarithmic time.
