//! The house rules that a program can check: headers, sizes, arrows between modules, purity and effect gates.
//!
//! Each test names every offender at once, as `path:line`. CONTRIBUTING.md explains the rules. They read source
//! text, not syntax trees: comments, string literals and test modules are blanked first, so what is left is code
//! that runs.

mod arrows;
mod effects;
mod forgotten;
mod source;
mod words;
