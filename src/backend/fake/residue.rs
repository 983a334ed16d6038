//! What is left behind.
