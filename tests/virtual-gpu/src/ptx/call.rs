//! Calls, expanded where they stand.

use std::collections::HashMap;

use super::PtxError;
use super::lower::{Lower, Symbol};
use super::syntax::{Arg, Instruction};

impl<'t> Lower<'t> {
    /// Expands a call: the formal parameters' names stand for the actual ones' memory.
    pub(super) fn call(&mut self, inst: &'t Instruction) -> Result<(), PtxError> {
        let fail = |reason: String| PtxError { line: inst.line, text: inst.text.clone(), reason };
        if !matches!(inst.opcode.as_str(), "call" | "call.uni") {
            return Err(fail("unknown modifier of call".into()));
        }
        let (results, name, params): (&[Arg], &String, &[Arg]) = match inst.args.as_slice() {
            [Arg::List(r), Arg::Name(n), Arg::List(p)] => (r, n, p),
            [Arg::List(r), Arg::Name(n)] => (r, n, &[]),
            [Arg::Name(n), Arg::List(p)] => (&[], n, p),
            [Arg::Name(n)] => (&[], n, &[]),
            _ => return Err(fail("an indirect call".into())),
        };
        if self.calls.iter().any(|(n, _)| n == name) {
            return Err(fail(format!("recursion of {name}")));
        }
        let Some(function) = self.tree.functions.iter().find(|f| !f.entry && &f.name == name) else {
            return Err(fail(format!("no body of function {name}")));
        };
        if function.params.len() != params.len() || function.results.len() != results.len() {
            return Err(fail(format!("wrong number of arguments for {name}")));
        }
        let mut scope = HashMap::new();
        let formal = function.results.iter().chain(&function.params);
        for (formal, actual) in formal.zip(results.iter().chain(params)) {
            let Arg::Name(n) = actual else { return Err(fail("an argument that is not in .param space".into())) };
            match self.symbol(n) {
                Some(s @ Symbol::FrameParam(_)) => drop(scope.insert(formal.name.clone(), s.clone())),
                _ => return Err(fail(format!("argument {n} is not in .param space"))),
            }
        }
        let end = self.new_label();
        let outer = std::mem::replace(&mut self.scopes, vec![scope]);
        self.calls.push((name.clone(), end));
        self.body(function)?;
        self.calls.pop();
        self.scopes = outer;
        self.labels[end as usize] = self.program.steps.len() as u32;
        Ok(())
    }
}
