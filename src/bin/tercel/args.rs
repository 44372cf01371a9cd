//! What the subcommands' flags share: parsing, and errors in one line.

use clap::error::{ContextKind, ErrorKind};

/// Joins the lines of a message: an error is one line.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// clap's message without the usage text, in one line, and where to read on.
pub fn usage_error(error: &clap::Error) -> String {
    let text = error.to_string();
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return text;
    }
    let words = text.split("\n\nUsage:").next().unwrap_or(&text);
    let words = words.split("\n\nFor more information").next().unwrap_or(words);
    // The usage line names the subcommand: `Usage: tercel train [OPTIONS] …`.
    let command = match error.get(ContextKind::Usage) {
        Some(usage) => {
            let usage = usage.to_string();
            let names = usage.split_whitespace().skip_while(|w| *w != "tercel").skip(1);
            names.take_while(|w| w.chars().all(|c| c.is_ascii_lowercase())).map(|w| format!("{w} ")).collect()
        }
        None => String::new(),
    };
    format!("{} (see `tercel {command}--help`)", one_line(words))
}
