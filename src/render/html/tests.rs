use super::STYLE;

/// The colours of one scheme: `--name: #rrggbb`.
fn colors(scheme: &str) -> Vec<(String, [f64; 3])> {
    let channel = |hex: &str, at: usize| f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
    (scheme.split([';', '{']))
        .filter_map(|declaration| declaration.trim().rsplit_once(": #"))
        .map(|(name, hex)| (name.trim_start_matches('-').to_owned(), [0, 2, 4].map(|at| channel(hex, at))))
        .collect()
}

/// The contrast of two colours (WCAG 2.2, "contrast ratio" and "relative luminance").
fn contrast(one: [f64; 3], other: [f64; 3]) -> f64 {
    let linear = |c: f64| if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) };
    let luminance = |[r, g, b]: [f64; 3]| 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    let [one, other] = [luminance(one), luminance(other)];
    (one.max(other) + 0.05) / (one.min(other) + 0.05)
}

#[test]
fn every_text_has_enough_contrast_in_light_and_in_dark() {
    assert!((contrast([0.0; 3], [1.0; 3]) - 21.0).abs() < 0.01);
    let (light, rest) = STYLE.split_once("@media").unwrap();
    let (dark, _) = rest.split_once("* {").unwrap();
    for scheme in [light, dark] {
        let colors = colors(scheme);
        let color = |name: &str| colors.iter().find(|(its, _)| its == name).unwrap().1;
        for text in ["text", "quiet", "link", "pass", "warn", "unknown", "fail", "skip", "used"] {
            for ground in ["ground", "panel"] {
                let ratio = contrast(color(text), color(ground));
                assert!(ratio >= 4.5, "{text} on {ground}: {ratio:.2}");
            }
        }
    }
}

#[test]
fn the_style_loads_nothing() {
    for part in ["@import", "http", "url(\"", "url('", "@font-face"] {
        assert!(!STYLE.contains(part), "{part}");
    }
}
