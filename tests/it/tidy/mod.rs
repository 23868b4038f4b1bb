//! The house rules that a program can check: headers, sizes, arrows between modules, purity, effect gates, and what pages for
//! people say.
//!
//! Each test names every offender at once, as `path:line`. CONTRIBUTING.md explains the rules. They read source
//! text, not syntax trees: comments, string literals and test modules are blanked first, so what is left is code
//! that runs.

mod arrows;
mod documented;
mod effects;
mod forgotten;
mod page;
mod source;
mod words;
