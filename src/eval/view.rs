//! What counts as found: something new, or whatever comes next.

use crate::settings::value::choices;

choices! {
    /// Which items an evaluation looks for.
    pub enum View in "view" {
        /// Items that the user does not have in training: those that they have are left out of the lists, and of what is
        /// to be found.
        Discovery = "discovery",
        /// Whatever the user takes next, things that they have had before among it.
        Next = "next",
    }
}
