//! What was found and what ran: one JSON line each in the report file, one plain line on stderr for each finding.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

/// Something the program does wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// A fixed phrase, such as `stream hazard`.
    pub kind: String,
    /// The kernel it happened in or at; empty for calls that concern no kernel.
    pub kernel: String,
    /// What happened, with the numbers.
    pub text: String,
}

/// One line of an allow-list: a finding that is expected.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    kernel: String,
    kind: String,
}

impl Allowed {
    fn covers(&self, finding: &Finding) -> bool {
        let matches = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
            Some(prefix) => text.starts_with(prefix),
            None => pattern == text,
        };
        matches(&self.kernel, &finding.kernel) && matches(&self.kind, &finding.kind)
    }
}

/// Collects findings and writes the report.
#[derive(Debug, Default)]
pub struct Journal {
    file: Option<File>,
    allowed: Vec<Allowed>,
    findings: Vec<Finding>,
    seen: HashSet<String>,
    print: bool,
}

impl Journal {
    /// A journal that appends to `report` and lets pass what `allow` lists.
    ///
    /// The allow-list has lines `kernel | kind | reason`; `*` at the end of the first two stands for any rest, `#`
    /// starts a comment.
    pub fn open(report: Option<&Path>, allow: Option<&Path>, print: bool) -> Result<Journal, String> {
        let file = report
            .map(|path| OpenOptions::new().append(true).create(true).open(path).map_err(|e| (path, e)))
            .transpose()
            .map_err(|(path, e)| format!("VIRTUAL_GPU_REPORT: {}: {e}", path.display()))?;
        let allowed = match allow {
            Some(path) => {
                let text =
                    std::fs::read_to_string(path).map_err(|e| format!("VIRTUAL_GPU_ALLOW: {}: {e}", path.display()))?;
                allow_list(&text).map_err(|e| format!("VIRTUAL_GPU_ALLOW: {}: {e}", path.display()))?
            }
            None => Vec::new(),
        };
        Ok(Journal { file, allowed, findings: Vec::new(), seen: HashSet::new(), print })
    }

    /// Notes a finding; `class` is `fault` or `warning`. The same words again are not: a loop says it once.
    pub fn find(&mut self, class: &str, finding: Finding) {
        if !self.seen.insert(format!("{} {}", finding.kind, finding.text)) {
            return;
        }
        if self.allowed.iter().any(|a| a.covers(&finding)) {
            self.line(&json!({
                "kind": "allowed", "what": finding.kind, "kernel": finding.kernel, "text": finding.text,
            }));
            return;
        }
        if self.print {
            eprintln!("virtual GPU: {class}: {}: {}", finding.kind, finding.text);
        }
        self.line(&json!({
            "kind": class, "what": finding.kind, "kernel": finding.kernel, "text": finding.text,
        }));
        self.findings.push(finding);
    }

    /// Notes a wrong call of the host.
    pub fn warn(&mut self, kind: &str, text: String) {
        self.find("warning", Finding { kind: kind.into(), kernel: String::new(), text });
    }

    /// Tells something that is no fault of the program.
    pub fn note(&mut self, text: &str) {
        if self.print {
            eprintln!("virtual GPU: note: {text}");
        }
        self.line(&json!({ "kind": "note", "text": text }));
    }

    /// Appends one line to the report, in a single write: several processes share the file.
    pub fn line(&mut self, value: &Value) {
        let Some(file) = &mut self.file else { return };
        let line = format!("{value}\n");
        if let Err(e) = file.write_all(line.as_bytes()) {
            eprintln!("virtual GPU: the report cannot be written: {e}");
            self.file = None;
            self.findings.push(Finding { kind: "report".into(), kernel: String::new(), text: e.to_string() });
        }
    }

    /// All findings so far that no allow-list covers.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }
}

fn allow_list(text: &str) -> Result<Vec<Allowed>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.split('#').next().unwrap_or("").trim()));
    lines
        .filter(|(_, line)| !line.is_empty())
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('|').map(str::trim).collect();
            match fields[..] {
                [kernel, kind, reason] if !kind.is_empty() && !reason.is_empty() => {
                    Ok(Allowed { kernel: kernel.into(), kind: kind.into() })
                }
                _ => Err(format!("line {at} is not `kernel | kind | reason`")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allow_list_covers_what_it_names_and_needs_a_reason() {
        let list = allow_list("# why\nscan_* | shared memory race | look-back\n* | leak | a static\n").unwrap();
        let finding = |kernel: &str, kind: &str| Finding { kind: kind.into(), kernel: kernel.into(), text: "".into() };
        assert!(list.iter().any(|a| a.covers(&finding("scan_f32", "shared memory race"))));
        assert!(!list.iter().any(|a| a.covers(&finding("gather", "shared memory race"))));
        assert!(list.iter().any(|a| a.covers(&finding("", "leak"))));
        assert_eq!(allow_list("scan | race |").unwrap_err(), "line 1 is not `kernel | kind | reason`");
    }
}
