//! Tests of the processor: settings, groups, failures. What each editor and function does is tested with the language.

