//! [`next`]: the target of a `Link` header field (RFC 8288) with the relation `next`.

/// The target of the first link to the next page.
pub(super) fn next(field: &str) -> Option<&str> {
    let mut rest = field;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let (target, params) = rest.strip_prefix('<')?.split_once('>')?;
        let end = behind_params(params);
        if relations(&params[..end])
            .is_some_and(|relations| relations.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case("next")))
        {
            return Some(target);
        }
        rest = &params[end..];
    }
}

/// Where the params of a link end: at a comma that is not in quotes.
fn behind_params(params: &str) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, sign) in params.char_indices() {
        match sign {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            ',' if !quoted => return at,
            _ => {}
        }
    }
    params.len()
}

/// The value of the first `rel`: the others do not count.
fn relations(params: &str) -> Option<&str> {
    let mut params = params.split(';').map(str::trim);
    params.find_map(|param| {
        let (name, value) = param.split_once('=')?;
        name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_page_is_found_among_all_links() {
        for (field, expected) in [
            ("<https://a/?page=2>; rel=\"next\"", Some("https://a/?page=2")),
            ("<https://a/?page=2>; rel=next", Some("https://a/?page=2")),
            ("<https://a/1>; rel=\"prev\", </2?a=b,c;d>; rel=\"next\", </9>; rel=\"last\"", Some("/2?a=b,c;d")),
            ("</1>; title=\"a, \\\" b\"; rel=prev , </2>;REL=\"start Next\"", Some("/2")),
            ("</1>; rel=prev; rel=next", None),
            ("</1>; rel=\"nextish\"", None),
            ("</1>", None),
            ("</1", None),
            ("", None),
            ("rel=next", None),
            (",,, </2>; rel=next", Some("/2")),
        ] {
            assert_eq!(next(field), expected, "{field}");
        }
    }
}
