//! What a kernel takes, as its PTX declares it.

/// Bytes of the one parameter that `.entry NAME(…)` declares in a PTX text, a structure as an array of bytes. `None`
/// where there is no such entry, or it declares anything else.
pub(super) fn param_size(ptx: &str, name: &str) -> Option<usize> {
    let (_, rest) = ptx.split_once(&format!(".entry {name}("))?;
    let (list, _) = rest.split_once(')')?;
    let (kind, array) = list.split_once('[')?;
    let words: Vec<&str> = kind.split_whitespace().collect();
    if !words.contains(&".param") || !words.contains(&".b8") {
        return None;
    }
    array.trim_end().strip_suffix(']')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameter_is_read_from_ptx() {
        let ptx = "\
            .visible .entry ab(\n\t.param .u64 ab_param_0\n)\n{ }\n\
            .visible .entry abc(\n\t.param .align 8 .b8 abc_param_0[152]\n)\n{ }\n\
            .visible .entry d(\n\t.param .align 8 .b8 d_param_0\n)\n{ }\n\
            .visible .entry e(\n\t.param .align 8 .b8 e_param_0[8],\n\t.param .align 8 .b8 e_param_1[8]\n)\n{ }\n\
            .visible .entry f()\n{ }\n";
        assert_eq!(param_size(ptx, "abc"), Some(152));
        assert_eq!(param_size(ptx, "ab"), None, "a number is no structure");
        assert_eq!(param_size(ptx, "d"), None, "nor is a single byte");
        assert_eq!(param_size(ptx, "e"), None, "two");
        assert_eq!(param_size(ptx, "f"), None, "none");
        assert_eq!(param_size(ptx, "b"), None, "no such kernel");
    }
}
