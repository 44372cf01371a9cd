//! What a kernel takes, as its PTX declares it.

/// Bytes of each parameter of a kernel, in order.
pub(super) type ParamSizes = Vec<u8>;

/// The parameters that `.entry NAME(…)` declares in a PTX text.
pub(super) fn param_sizes(ptx: &str, name: &str) -> ParamSizes {
    let head = format!(".entry {name}(");
    let Some(start) = ptx.find(&head) else { return Vec::new() };
    let list = &ptx[start + head.len()..];
    let list = &list[..list.find(')').unwrap_or(0)];
    let size = |param: &str| {
        let kind = param.split_whitespace().find(|word| word.starts_with('.') && *word != ".param");
        match kind {
            Some(".u64" | ".s64" | ".b64" | ".f64") => 8,
            Some(".u32" | ".s32" | ".b32" | ".f32") => 4,
            _ => 0,
        }
    };
    list.split(',').filter(|param| param.contains(".param")).map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_ptx() {
        let ptx = ".visible .entry a(\n\t.param .u64 a_param_0,\n\t.param .u32 a_param_1\n)\n{ }\n.visible .entry ab(\n\t.param .f32 x,\n\t.param .u64 .ptr .global .align 16 y\n)";
        assert_eq!(param_sizes(ptx, "a"), [8, 4]);
        assert_eq!(param_sizes(ptx, "ab"), [4, 8]);
        assert!(param_sizes(ptx, "b").is_empty());
    }
}
