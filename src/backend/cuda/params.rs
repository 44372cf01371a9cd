//! What a kernel takes, as its PTX declares it.

/// Bytes of each parameter of a kernel, in order.
pub(super) type ParamSizes = Vec<usize>;

/// The parameters that `.entry NAME(…)` declares in a PTX text: numbers, and structures as arrays of bytes. One of
/// another kind counts as 0, which no argument has.
pub(super) fn param_sizes(ptx: &str, name: &str) -> ParamSizes {
    let head = format!(".entry {name}(");
    let Some(start) = ptx.find(&head) else { return Vec::new() };
    let list = &ptx[start + head.len()..];
    let list = &list[..list.find(')').unwrap_or(0)];
    let size = |param: &str| {
        let kind = param
            .split_whitespace()
            .find(|word| [".b8", ".u64", ".s64", ".b64", ".f64", ".u32", ".s32", ".b32", ".f32"].contains(word));
        match kind {
            Some(".b8") => {
                let length = param.rsplit_once('[').and_then(|(_, rest)| rest.trim_end().strip_suffix(']'));
                length.and_then(|length| length.parse().ok()).unwrap_or(0)
            }
            Some(".u64" | ".s64" | ".b64" | ".f64") => 8,
            Some(_) => 4,
            None => 0,
        }
    };
    list.split(',').filter(|param| param.contains(".param")).map(size).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read_from_ptx() {
        let ptx = ".visible .entry a(\n\t.param .u64 a_param_0,\n\t.param .u32 a_param_1\n)\n{ }\n.visible .entry ab(\n\t.param .f32 x,\n\t.param .u64 .ptr .global .align 16 y\n)\n.visible .entry abc(\n\t.param .align 8 .b8 abc_param_0[152]\n)\n.visible .entry d(\n\t.param .align 8 .b8 d_param_0\n)";
        assert_eq!(param_sizes(ptx, "a"), [8, 4]);
        assert_eq!(param_sizes(ptx, "ab"), [4, 8]);
        assert_eq!(param_sizes(ptx, "abc"), [152]);
        assert_eq!(param_sizes(ptx, "d"), [0], "a single byte is no structure");
        assert!(param_sizes(ptx, "b").is_empty());
    }
}
