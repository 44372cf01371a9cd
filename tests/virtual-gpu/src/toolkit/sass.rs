//! Machine code as nvdisasm prints it, read per function.

use std::collections::HashMap;

use super::{Result, ToolkitError};

/// One machine instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// With its modifiers: `LDG.E.128.CONSTANT`.
    pub opcode: String,
    /// It may be passed over: a guard before it, or a predicate among its operands.
    pub conditional: bool,
    /// Index of the instruction that its label names, where it names one of this function.
    pub target: Option<usize>,
}

impl Instruction {
    /// The opcode without modifiers: `LDG`.
    pub fn base(&self) -> &str {
        self.opcode.split('.').next().unwrap_or_default()
    }

    /// Whether one of its modifiers is `modifier`.
    pub fn has(&self, modifier: &str) -> bool {
        self.opcode.split('.').skip(1).any(|found| found == modifier)
    }
}

/// A kernel's machine code, with the routines that it calls behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// The kernel's name.
    pub name: String,
    /// In the order of their addresses.
    pub code: Vec<Instruction>,
}

/// Reads the text of `nvdisasm --print-code`.
///
/// # Errors
/// [`ToolkitError::Tool`] for a line that looks like an instruction and is none, or a branch to an unknown label.
pub fn parse(text: &str) -> Result<Vec<Function>> {
    let mut functions: Vec<Function> = Vec::new();
    let mut labels: HashMap<&str, usize> = HashMap::new();
    let mut names: Vec<Option<&str>> = Vec::new();
    let mut inside = false;
    // The line behind the last closes the last function.
    for line in text.lines().chain([".section"]).map(str::trim) {
        if line.starts_with(".section") {
            if let Some(function) = functions.last_mut().filter(|_| inside) {
                resolve(function, &labels, &names)?;
            }
            inside = false;
        } else if let Some(name) = line.strip_prefix(".text.").and_then(|rest| rest.strip_suffix(':')) {
            (labels, names, inside) = (HashMap::new(), Vec::new(), true);
            functions.push(Function { name: name.into(), code: Vec::new() });
        } else if let Some(function) = functions.last_mut().filter(|_| inside) {
            if let Some(label) = line.strip_suffix(':') {
                labels.insert(label, function.code.len());
            } else if line.starts_with("/*") {
                let (instruction, name) = instruction(line).ok_or_else(|| not_understood(line))?;
                function.code.push(instruction);
                names.push(name);
            }
        }
    }
    Ok(functions)
}

fn not_understood(line: &str) -> ToolkitError {
    ToolkitError::Tool { tool: "nvdisasm", reason: format!("`{line}` was not understood") }
}

/// An instruction and the label that it names, from `/*00a0*/ @!P0 BRA P1, `(.L_x_0) ;`.
fn instruction(line: &str) -> Option<(Instruction, Option<&str>)> {
    let text = line.split_once("*/")?.1.trim().trim_end_matches(';').trim();
    let (guard, text) = match text.split_once(char::is_whitespace) {
        Some((guard, rest)) if guard.starts_with('@') => (Some(guard), rest.trim()),
        _ => (None, text),
    };
    let (opcode, operands) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let name = operands.split_once("`(").and_then(|(_, rest)| Some(rest.split_once(')')?.0));
    let before = operands.split_once('`').map_or("", |(before, _)| before).trim().trim_end_matches(',');
    let conditional = guard.is_some() || !before.is_empty();
    let opcode = Some(opcode).filter(|opcode| opcode.starts_with(|c: char| c.is_ascii_uppercase()))?;
    Some((Instruction { opcode: opcode.into(), conditional, target: None }, name))
}

/// Turns the names of labels into places. A name outside the function (a constant, another function) stays unresolved,
/// but not one that a branch goes to.
fn resolve(function: &mut Function, labels: &HashMap<&str, usize>, names: &[Option<&str>]) -> Result<()> {
    let end = function.code.len();
    for (instruction, name) in function.code.iter_mut().zip(names) {
        let Some(name) = name else { continue };
        instruction.target = labels.get(name).copied().filter(|&at| at < end);
        if instruction.target.is_none() && instruction.base() == "BRA" {
            let reason = format!("{}: a branch to `{name}`, which is no label", function.name);
            return Err(ToolkitError::Tool { tool: "nvdisasm", reason });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guards_labels_and_modifiers_are_read() {
        let text = "\
\t.section\t.text.scan,\"ax\",@progbits
        .global         scan
scan:
.text.scan:
        /*0000*/              @!P0 BRA `(.L_x_0) ;
.L_x_1:
        /*0010*/                   LDG.E.128.CONSTANT R4, [R2.64] ;
        /*0020*/              @!P0 BRA P1, `(.L_x_1) ;
        /*0030*/                   BRA.U UP0, `(.L_x_1) ;
        /*0040*/                   CALL.REL.NOINC `($__internal_0_$__cuda_div) ;
.L_x_0:
        /*0050*/                   EXIT ;
.L_x_2:
        /*0060*/                   BRA `(.L_x_2);
        .weak           $__internal_0_$__cuda_div
$__internal_0_$__cuda_div:
        /*0070*/                   RET.REL.NODEC R6 `(scan) ;
\t.section\t.nv.info
        /*0000*/        .word 0x1
";
        let functions = parse(text).unwrap();
        let [scan] = functions.as_slice() else { panic!("{functions:?}") };
        assert_eq!(scan.name, "scan");
        let code: Vec<_> = scan.code.iter().map(|i| (i.opcode.as_str(), i.conditional, i.target)).collect();
        let expected = [
            ("BRA", true, Some(5)),
            ("LDG.E.128.CONSTANT", false, None),
            ("BRA", true, Some(1)),
            ("BRA.U", true, Some(1)),
            ("CALL.REL.NOINC", false, Some(7)),
            ("EXIT", false, None),
            ("BRA", false, Some(6)),
            ("RET.REL.NODEC", true, None),
        ];
        assert_eq!(code, expected);
        assert!(scan.code[1].has("128") && scan.code[1].base() == "LDG" && !scan.code[1].has("LDG"));
        let unknown = ".text.f:\n/*0000*/ BRA `(.L_x_9) ;\n";
        assert!(parse(unknown).unwrap_err().to_string().contains("`.L_x_9`, which is no label"));
    }
}
