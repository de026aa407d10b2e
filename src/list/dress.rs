//! What lists are dressed in on their way through editors and web pages.

use std::borrow::Cow;

/// Characters that no one sees.
const INVISIBLE: [char; 5] = ['\u{200b}', '\u{200c}', '\u{200d}', '\u{2060}', '\u{feff}'];

/// Ordinary blanks for all others (no-break spaces, for one), and nothing for what is invisible.
pub(super) fn without_odd_blanks(text: Cow<'_, str>) -> Cow<'_, str> {
    let is_odd = |character: char| {
        !character.is_ascii() && (character.is_whitespace() || INVISIBLE.contains(&character))
    };
    if !text.contains(is_odd) {
        return text;
    }
    let plain = |character: char| match character {
        _ if INVISIBLE.contains(&character) => None,
        _ if character.is_whitespace() => Some(' '),
        _ => Some(character),
    };
    text.chars().filter_map(plain).collect()
}

/// The text with its HTML entities decoded once; `None` when there are none.
pub(super) fn without_entities(text: &str) -> Option<String> {
    let mut rest = text;
    let mut decoded = String::new();
    while let Some((before, behind)) = rest.split_once('&') {
        decoded.push_str(before);
        match behind.split_once(';').and_then(|(name, behind)| Some((entity(name)?, behind))) {
            Some((character, behind)) => {
                decoded.push(character);
                rest = behind;
            }
            None => {
                decoded.push('&');
                rest = behind;
            }
        }
    }
    decoded.push_str(rest);
    (decoded != text).then_some(decoded)
}

fn entity(name: &str) -> Option<char> {
    let number = |digits: &str, radix| char::from_u32(u32::from_str_radix(digits, radix).ok()?);
    let character = match name {
        "lt" => '<',
        "gt" => '>',
        "amp" => '&',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "num" => '#',
        "vert" | "verbar" | "VerticalLine" => '|',
        "Hat" => '^',
        "ast" | "midast" => '*',
        "dollar" => '$',
        "period" => '.',
        "sol" => '/',
        "commat" => '@',
        "lowbar" => '_',
        "colon" => ':',
        "equals" => '=',
        _ => {
            let digits = name.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16)?,
                None => number(digits, 10)?,
            }
        }
    };
    Some(if character.is_whitespace() { ' ' } else { character }).filter(|character| !character.is_control())
}
