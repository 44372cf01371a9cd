//! What people's files really look like: each example is read by the command and by the library, which agree, and the
//! right values are asserted, or the words that settle what cannot be known.

mod columns;
mod contents;
mod dates;
mod example;
mod folders;
mod held_out;
mod instants;
mod joins;
mod json_lines;
mod known;
mod missing;
mod people;
mod pipes;
mod quotes;
mod typed_times;
mod unquoted;
mod unusable;
mod wide;
