//! The command from outside: its output, its exit codes, its files.

mod chain;
mod exclude;
mod export;
mod failures;
mod help;
mod index;
mod ingest;
mod recommend;
mod search;
mod views;
mod written;
