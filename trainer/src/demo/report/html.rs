//! A page of HTML, piece by piece.

/// `text` as it stands between tags or in an attribute.
///
/// ```
/// # use sinew_trainer::demo::report::html::escaped;
/// assert_eq!(escaped("a < b & \"c\""), "a &lt; b &amp; &quot;c&quot;");
/// ```
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            other => out.push(other),
        }
    }
    out
}

/// A table; its cells are text.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let cells = |tag: &str, cells: &[String]| -> String {
        cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", escaped(cell))).collect()
    };
    let header: Vec<String> = header.iter().map(|cell| (*cell).to_owned()).collect();
    let rows: String = rows.iter().map(|row| format!("<tr>{}</tr>\n", cells("td", row))).collect();
    format!("<div class=\"table\"><table>\n<tr>{}</tr>\n{rows}</table></div>\n", cells("th", &header))
}

/// A drawing and what it shows, which is text.
pub fn figure(svg: &str, caption: &str) -> String {
    format!("<figure>\n{svg}\n<figcaption>{}</figcaption>\n</figure>\n", escaped(caption))
}

/// A paragraph of text.
pub fn paragraph(text: &str) -> String {
    format!("<p>{}</p>\n", escaped(text))
}

#[cfg(test)]
pub mod check {
    //! Whether markup is well formed.

    /// Panics unless every tag is closed in its turn and no `&` or `<` stands alone.
    pub fn balanced(markup: &str) {
        let mut open: Vec<&str> = Vec::new();
        for piece in markup.split('<').skip(1) {
            let (tag, text) = piece.split_once('>').expect("a tag ends");
            let name = tag.split([' ', '\n', '/']).find(|part| !part.is_empty()).expect("a tag has a name");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "</{name}>");
            } else if !(tag.ends_with('/') || tag.starts_with('!') || name == "meta") {
                open.push(name);
            }
            for entity in text.split('&').skip(1) {
                assert!(entity.split_once(';').is_some_and(|(name, _)| name.len() <= 5), "&{entity}");
            }
        }
        assert!(open.is_empty(), "{open:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_leave_its_place() {
        assert_eq!(escaped("</td>&'"), "&lt;/td&gt;&amp;&#39;");
        let page = table(&["a<b"], &[vec!["<script>".into()], vec!["&".into()]])
            + &figure("<svg></svg>", "x > \"y\"")
            + &paragraph("<p>");
        check::balanced(&page);
        assert!(!page.contains("<script"));
    }

    #[test]
    #[should_panic(expected = "</b>")]
    fn the_check_checks() {
        check::balanced("<a><c></b></a>");
    }
}
