//! PTX text to syntax tree.

use super::PtxError;
use super::operand;
use super::syntax::{Function, Instruction, Space, Statement, Tree, Variable};

/// A position in the text. Comments have been blanked out.
struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

/// Parses a text.
pub(crate) fn tree(text: &str) -> Result<Tree, PtxError> {
    let clean = blank_comments(text);
    let mut c = Cursor { text: clean.as_bytes(), at: 0, line: 1 };
    let mut tree = Tree::default();
    let mut version = false;
    while c.skip_space() {
        let word = c.word();
        match word.as_str() {
            ".version" | ".target" | ".address_size" => {
                version |= word == ".version";
                c.rest_of_line();
            }
            ".file" => file(&mut c, &mut tree)?,
            ".loc" => drop(c.rest_of_line()),
            ".section" => c.skip_braces()?,
            ".pragma" | ".alias" => drop(c.until(b';')?),
            ".visible" | ".extern" | ".weak" | ".common" => {}
            ".entry" | ".func" => {
                if let Some(f) = function(&mut c, word == ".entry")? {
                    tree.functions.push(f);
                }
            }
            ".global" | ".const" | ".shared" => tree.variables.push(variable(&mut c, &word)?),
            _ => return Err(c.error(&word, "unknown directive")),
        }
    }
    if !version {
        return Err(PtxError { line: 1, text: first_line(text), reason: "no .version directive".into() });
    }
    Ok(tree)
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().chars().take(80).collect()
}

/// Replaces comments by spaces, newlines kept.
fn blank_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('/') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with("//") {
            rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |e| e + 2);
            out.extend(rest[..end].chars().filter(|&c| c == '\n'));
            rest = &rest[end..];
        } else {
            out.push('/');
            rest = &rest[1..];
        }
    }
    out.push_str(rest);
    out
}

impl Cursor<'_> {
    /// Skips white space; whether anything is left.
    fn skip_space(&mut self) -> bool {
        while let Some(&b) = self.text.get(self.at) {
            if !b.is_ascii_whitespace() && b != 0 {
                return true;
            }
            self.line += u32::from(b == b'\n');
            self.at += 1;
        }
        false
    }

    fn peek(&mut self) -> u8 {
        self.skip_space();
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == byte;
        self.at += usize::from(hit);
        hit
    }

    /// A run of name characters, dots and colons of `L2::128B` included.
    fn word(&mut self) -> String {
        self.skip_space();
        let start = self.at;
        while let Some(&b) = self.text.get(self.at) {
            let name = b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | b'%' | b'.');
            if name {
                self.at += 1;
            } else if b == b':' && self.text.get(self.at + 1) == Some(&b':') {
                self.at += 2;
            } else {
                break;
            }
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    fn rest_of_line(&mut self) -> String {
        let start = self.at;
        while self.text.get(self.at).is_some_and(|&b| b != b'\n') {
            self.at += 1;
        }
        String::from_utf8_lossy(&self.text[start..self.at]).into_owned()
    }

    /// The text up to `end`, which is consumed too.
    fn until(&mut self, end: u8) -> Result<String, PtxError> {
        let start = self.at;
        while let Some(&b) = self.text.get(self.at) {
            if b == end {
                let text = String::from_utf8_lossy(&self.text[start..self.at]).into_owned();
                self.at += 1;
                return Ok(text);
            }
            self.line += u32::from(b == b'\n');
            self.at += 1;
        }
        Err(self.error("", "the text ends inside a statement"))
    }

    fn skip_braces(&mut self) -> Result<(), PtxError> {
        self.until(b'{')?;
        let mut depth = 1;
        while depth > 0 {
            if !self.skip_space() {
                return Err(self.error("", "unclosed brace"));
            }
            match self.text[self.at] {
                b'{' => depth += 1,
                b'}' => depth -= 1,
                _ => {}
            }
            self.at += 1;
        }
        Ok(())
    }

    fn error(&self, text: &str, reason: &str) -> PtxError {
        PtxError { line: self.line, text: squeeze(text), reason: reason.into() }
    }
}

fn squeeze(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn file(c: &mut Cursor<'_>, tree: &mut Tree) -> Result<(), PtxError> {
    let line = c.rest_of_line();
    let (index, rest) = line.trim().split_once(char::is_whitespace).unwrap_or((&line, ""));
    let index = index.parse().map_err(|_| c.error(&line, "bad .file"))?;
    let name = rest.split('"').nth(1).unwrap_or_default();
    tree.files.push((index, name.into()));
    Ok(())
}

/// The bytes of a fundamental type, `.pred` excluded.
pub(crate) fn type_bytes(name: &str) -> Option<u32> {
    Some(match name {
        "b8" | "u8" | "s8" => 1,
        "b16" | "u16" | "s16" | "f16" | "bf16" => 2,
        "b32" | "u32" | "s32" | "f32" | "f16x2" | "bf16x2" => 4,
        "b64" | "u64" | "s64" | "f64" => 8,
        "b128" => 16,
        _ => return None,
    })
}

/// `.global .align 4 .b8 name[12] = {...};`, the space's word already read.
fn variable(c: &mut Cursor<'_>, space: &str) -> Result<Variable, PtxError> {
    let text = c.until(b';')?;
    declaration(c, space, &text)
}

fn declaration(c: &Cursor<'_>, space: &str, text: &str) -> Result<Variable, PtxError> {
    let bad = |reason: &str| c.error(&format!("{space} {text}"), reason);
    let (head, init) = text.split_once('=').map_or((text, None), |(h, i)| (h, Some(i)));
    let (mut align, mut element, mut name, mut count) = (0u32, 0u32, String::new(), 1u64);
    let spaced = head.replace('[', " [").replace(']', "] ");
    let mut words = spaced.split_whitespace().peekable();
    while let Some(word) = words.next() {
        if word == ".align" {
            align = words.next().and_then(|w| w.parse().ok()).ok_or_else(|| bad("bad .align"))?;
        } else if word == ".ptr" {
            // A pointer attribute: an optional space and alignment of what it points at.
            while words.peek().is_some_and(|w| matches!(*w, ".global" | ".shared" | ".const" | ".local")) {
                words.next();
            }
            if words.peek() == Some(&".align") {
                words.next();
                words.next();
            }
        } else if let Some(kind) = word.strip_prefix('.') {
            element = type_bytes(kind).ok_or_else(|| bad("unknown type of a variable"))?;
        } else if word.starts_with('[') {
            let inner = word.trim_matches(['[', ']']);
            count *= if inner.is_empty() { 0 } else { inner.parse().map_err(|_| bad("bad array size"))? };
        } else {
            name = word.into();
        }
    }
    if element == 0 || name.is_empty() {
        return Err(bad("bad variable"));
    }
    let mut bytes = Vec::new();
    for value in init.unwrap_or_default().split([',', '{', '}']).map(str::trim).filter(|v| !v.is_empty()) {
        let bits = match operand::literal(value) {
            Some(bits) => bits,
            None => return Err(bad("an initialiser that is not a number")),
        };
        bytes.extend_from_slice(&bits.to_le_bytes()[..element as usize]);
    }
    let space = match space {
        ".global" => Space::Global,
        ".const" => Space::Const,
        ".shared" => Space::Shared,
        ".local" => Space::Local,
        _ => Space::Param,
    };
    Ok(Variable { space, name, align: align.max(element), size: count * u64::from(element), init: bytes })
}

fn parameters(c: &mut Cursor<'_>) -> Result<Vec<Variable>, PtxError> {
    let text = c.until(b')')?;
    let mut out = Vec::new();
    for item in text.split(',').map(str::trim).filter(|t| !t.is_empty()) {
        let Some(item) = item.strip_prefix(".param") else {
            return Err(c.error(item, "a parameter that is not in .param space"));
        };
        out.push(declaration(c, ".param", item)?);
    }
    Ok(out)
}

/// A function; `None` for a declaration without a body.
fn function(c: &mut Cursor<'_>, entry: bool) -> Result<Option<Function>, PtxError> {
    let line = c.line;
    let results = if c.eat(b'(') { parameters(c)? } else { Vec::new() };
    let name = c.word();
    let params = if c.eat(b'(') { parameters(c)? } else { Vec::new() };
    let (max_threads, min_blocks, max_registers) = (None, None, None);
    let mut f = Function { entry, name, results, params, body: vec![], max_threads, min_blocks, max_registers, line };
    loop {
        match c.peek() {
            b';' => {
                c.at += 1;
                return Ok(None);
            }
            b'{' => break,
            _ => {}
        }
        let word = c.word();
        match word.as_str() {
            ".maxntid" | ".reqntid" => f.max_threads = Some(numbers(c)?.iter().product()),
            ".minnctapersm" => f.min_blocks = numbers(c)?.first().copied(),
            ".noreturn" => {}
            ".maxnreg" => f.max_registers = numbers(c)?.first().copied(),
            ".pragma" => drop(c.until(b';')?),
            _ => return Err(c.error(&word, "unknown directive of a function")),
        }
    }
    f.body = body(c)?;
    Ok(Some(f))
}

fn numbers(c: &mut Cursor<'_>) -> Result<Vec<u32>, PtxError> {
    let mut out = Vec::new();
    loop {
        let word = c.word();
        out.push(word.parse().map_err(|_| c.error(&word, "not a number"))?);
        if !c.eat(b',') {
            return Ok(out);
        }
    }
}

fn body(c: &mut Cursor<'_>) -> Result<Vec<Statement>, PtxError> {
    let mut out = Vec::new();
    let mut depth = 0;
    let mut source = (0, 0);
    loop {
        match c.peek() {
            0 => return Err(c.error("", "a function without its closing brace")),
            b'{' => {
                c.at += 1;
                depth += 1;
                out.push(Statement::Open);
            }
            b'}' => {
                c.at += 1;
                depth -= 1;
                out.push(Statement::Close);
                if depth == 0 {
                    return Ok(out);
                }
            }
            b';' => c.at += 1,
            b'.' => directive(c, &mut out, &mut source)?,
            _ => statement(c, &mut out, source)?,
        }
    }
}

fn directive(c: &mut Cursor<'_>, out: &mut Vec<Statement>, source: &mut (u32, u32)) -> Result<(), PtxError> {
    let word = c.word();
    match word.as_str() {
        ".loc" => {
            let text = c.rest_of_line();
            let mut fields = text.split([' ', '\t', ',']).filter(|f| !f.is_empty()).map(str::parse);
            let (Some(Ok(file)), Some(Ok(line))) = (fields.next(), fields.next()) else {
                return Err(c.error(&text, "bad .loc"));
            };
            // Line 0 marks code without a line of its own: the last line is the better answer.
            if line != 0 {
                *source = (file, line);
            }
        }
        ".pragma" => drop(c.until(b';')?),
        ".reg" => {
            let text = c.until(b';')?;
            let (kind, names) =
                text.trim().split_once(char::is_whitespace).ok_or_else(|| c.error(&text, "bad .reg"))?;
            for name in names.split(',').map(str::trim) {
                let (name, count) = match name.split_once('<') {
                    Some((n, k)) => {
                        let k = k.trim_end_matches('>').parse().map_err(|_| c.error(&text, "bad .reg"))?;
                        (n, Some(k))
                    }
                    None => (name, None),
                };
                let kind = kind.trim_start_matches('.').to_string();
                out.push(Statement::Registers { kind, name: name.into(), count });
            }
        }
        ".local" | ".shared" | ".param" | ".global" | ".const" => out.push(Statement::Variable(variable(c, &word)?)),
        _ => return Err(c.error(&word, "unknown directive")),
    }
    Ok(())
}

fn statement(c: &mut Cursor<'_>, out: &mut Vec<Statement>, source: (u32, u32)) -> Result<(), PtxError> {
    let line = c.line;
    let start = c.at;
    let mut guard = None;
    if c.eat(b'@') {
        let inverted = c.eat(b'!');
        guard = Some((c.word(), inverted));
    }
    let opcode = c.word();
    if opcode.is_empty() {
        let text = c.rest_of_line();
        return Err(c.error(&text, "not a statement"));
    }
    if guard.is_none() && c.eat(b':') {
        c.skip_space();
        if c.text[c.at..].starts_with(b".branchtargets") {
            c.word();
            let text = c.until(b';')?;
            out.push(Statement::Targets(opcode, text.split(',').map(|t| t.trim().to_string()).collect()));
        } else {
            out.push(Statement::Label(opcode));
        }
        return Ok(());
    }
    let args = c.until(b';')?;
    let text = squeeze(&String::from_utf8_lossy(&c.text[start..c.at - 1]));
    let args = operand::list(&args).map_err(|reason| PtxError { line, text: text.clone(), reason })?;
    out.push(Statement::Instruction(Instruction { guard, opcode, args, line, text, source }));
    Ok(())
}
