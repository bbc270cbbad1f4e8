//! Cutting, in all its cases.
