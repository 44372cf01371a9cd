//! What the library says, in the words of the command: its settings are flags here.

use tercel::{Error, Note};

/// A setting of the library, and the flag that gives it.
const FLAGS: [(&str, &str); 11] = [
    ("by_user", "--by-user"),
    ("exclude", "--exclude"),
    ("index", "--index"),
    ("items", "--items"),
    ("k", "--k"),
    ("memory", "--memory"),
    ("out", "--out"),
    ("recall", "--recall"),
    ("seen", "--exclude-seen"),
    ("tag", "--tag"),
    ("users", "--users"),
];

/// How the library's sentences speak of settings, and what the command says there.
const PHRASES: [(&str, &str); 10] = [
    ("`include_seen`", "--include-seen"),
    ("requires an approximate index", "requires --index approx"),
    ("raise `memory`", "raise --memory"),
    ("or exclude training items alone", "or pass --exclude train"),
    ("set `resume` to continue it, or choose another folder", "pass --resume to continue it, or choose another --out"),
    ("without `resume`", "without --resume"),
    ("ingest with a `split`", "ingest with --split, --valid or --test"),
    ("the device `cpu`", "--device cpu"),
    ("fewer `threads`", "fewer --threads"),
    ("a smaller `memory` or a smaller `batch_size`", "a smaller --memory or a smaller --batch-size"),
];

/// An error, as the command prints it.
pub fn error(error: &Error) -> String {
    match error {
        Error::Config { field, reason } => format!("{}: {}", flag(field), sentence(reason)),
        _ => sentence(&error.to_string()),
    }
}

/// The same error about a table of a nightly run's settings.
pub fn under(table: &str, error: Error) -> Error {
    match error {
        Error::Config { field, reason } => Error::config(format!("{table}.{field}"), reason),
        error => error,
    }
}

/// A note, as the command logs it.
pub fn note(note: &Note) -> String {
    match note {
        Note::TrainingItemsOnly => {
            "the model stores training rows only: pass --exclude-seen DATASET to also exclude the \
                                    items of its validation and test splits, or --exclude train to silence this note"
                .to_owned()
        }
        note => sentence(&note.to_string()),
    }
}

fn flag(field: &str) -> &str {
    FLAGS.iter().find(|(setting, _)| *setting == field).map_or(field, |(_, flag)| flag)
}

fn sentence(text: &str) -> String {
    PHRASES.iter().fold(text.to_owned(), |text, (setting, flag)| text.replace(setting, flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_become_flags() {
        let found = error(&Error::config("k", "0 is not a list length from 1 to 1024"));
        assert_eq!(found, "--k: 0 is not a list length from 1 to 1024");
        assert!(error(&Error::config("model.dim", "7")).starts_with("model.dim: "));
        let cuda = Error::CudaUnavailable { reason: "no driver".into() };
        assert_eq!(error(&cuda), "CUDA is not available: no driver; use --device cpu (or `auto`)");
        let memory = Error::Memory { what: "a block".into(), needed: 2, allowed: 1, advice: "raise `memory`".into() };
        assert!(error(&memory).ends_with("raise --memory"), "{}", error(&memory));
        assert_eq!(under("evaluate", Error::config("k", "0")).to_string(), "evaluate.k: 0");
        assert!(note(&Note::TrainingItemsOnly).contains("--exclude-seen DATASET"));
    }

    /// A phrase that the library does not use any more would stay here unseen.
    #[test]
    fn every_phrase_is_the_librarys() {
        let said = [
            include_str!("../../error.rs"),
            include_str!("../../eval/truth.rs"),
            include_str!("../../index/seen.rs"),
            include_str!("../../index/seen/held_out.rs"),
            include_str!("../../settings/search.rs"),
            include_str!("../../train/resume.rs"),
        ];
        for (phrase, _) in PHRASES {
            assert!(said.iter().any(|text| text.contains(phrase)), "{phrase}");
        }
    }
}
