//! What NVRTC is given for a stem: one text without files to look for, its name, and the options. The tool that writes
//! `kernels/ptx/` includes this file too, so that the committed PTX and what a host compiles for itself cannot differ in
//! anything but the architecture.

/// The options that every compilation uses, beside the architecture.
const OPTIONS: [&str; 3] = ["--std=c++17", "--generate-line-info", "--fmad=true"];

/// The options for one architecture, `compute_80` or newer.
pub(super) fn options(arch: &str) -> Vec<String> {
    [format!("--gpu-architecture={arch}")].into_iter().chain(OPTIONS.map(String::from)).collect()
}

/// The name that messages and line tables give to a stem's source.
pub(super) fn program_name(stem: &str) -> String {
    format!("kernels/{}", path(stem))
}

/// What the stems end with whose source is for compute capability 9.0 alone.
const SM_90A: &str = "_sm90a";

/// A stem's source below `kernels/`: `loss/loss.cu` of `loss`, `loss/sm90a.cu` of `loss_sm90a`.
pub(super) fn path(stem: &str) -> String {
    match stem.strip_suffix(SM_90A) {
        Some(folder) => format!("{folder}/sm90a.cu"),
        None => format!("{stem}/{stem}.cu"),
    }
}

/// The one architecture that a stem's source is for; `None` where every device of compute capability 8.0 or newer runs it.
pub(super) fn only_for(stem: &str) -> Option<&'static str> {
    stem.ends_with(SM_90A).then_some("compute_90a")
}

/// The source with every `#include "…"` replaced by the header, once: NVRTC then needs no files. `#line` keeps the
/// places that messages and line tables name. A header that `header` does not know keeps its line, and NVRTC says so.
pub(super) fn expand(source: &str, stem: &str, header: &dyn Fn(&str) -> Option<String>) -> String {
    let mut out = String::new();
    expand_into(&mut out, source, &path(stem), header, &mut Vec::new());
    out
}

fn expand_into(
    out: &mut String,
    source: &str,
    name: &str,
    header: &dyn Fn(&str) -> Option<String>,
    seen: &mut Vec<String>,
) {
    out.push_str(&format!("#line 1 \"kernels/{name}\"\n"));
    for (n, line) in source.lines().enumerate() {
        let include = line.strip_prefix("#include \"").and_then(|rest| rest.strip_suffix('"'));
        match include.and_then(|include| Some((include, header(include)?))) {
            Some((include, text)) => {
                if !seen.iter().any(|name| name == include) {
                    seen.push(include.to_owned());
                    expand_into(out, &text, include, header, seen);
                }
                out.push_str(&format!("#line {} \"kernels/{name}\"\n", n + 2));
            }
            None if line == "#pragma once" => out.push('\n'),
            None => {
                out.push_str(line);
                out.push('\n');
            }
        }
    }
}
