//! Curves in fewer bytes: a page has every figure twice.

use std::fmt::Write;

/// Shapes of more corners than this become paths.
const MAX_CORNERS: usize = 8;

/// The same picture: polylines, and polygons of many corners, as paths, whose coordinates are
/// relative to the point before and therefore short. Elements begin on a line of their own.
pub(super) fn compact(svg: &str) -> String {
    let mut text = String::with_capacity(svg.len());
    for line in svg.split_inclusive('\n') {
        match as_path(line) {
            Some(path) => text += &path,
            None => text += line,
        }
    }
    text
}

/// None for what is neither, or has other than whole numbers.
fn as_path(line: &str) -> Option<String> {
    let open = line.strip_prefix("<polyline ").map(|rest| (rest, ""));
    let (rest, close) = open.or(line.strip_prefix("<polygon ").map(|rest| (rest, "z")))?;
    let (attributes, rest) = rest.split_once("points=\"")?;
    let (points, after) = rest.split_once('"')?;
    let point = |text: &str| -> Option<[i32; 2]> {
        let (x, y) = text.split_once(',')?;
        Some([x.parse().ok()?, y.parse().ok()?])
    };
    let points: Option<Vec<[i32; 2]>> = points.split_whitespace().map(point).collect();
    let points = points.filter(|points| close.is_empty() || points.len() > MAX_CORNERS)?;
    let [x, y] = points.first()?;
    let mut path = format!("<path {attributes}d=\"M{x} {y}");
    for (i, pair) in points.windows(2).enumerate() {
        let [dx, dy] = [pair[1][0] - pair[0][0], pair[1][1] - pair[0][1]];
        // A sign separates, too.
        let before = match dx {
            _ if i == 0 => "l",
            0.. => " ",
            _ => "",
        };
        let between = if dy < 0 { "" } else { " " };
        // Writing to a String does not fail.
        let _ = write!(path, "{before}{dx}{between}{dy}");
    }
    Some(path + close + "\"" + after)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_and_areas_become_paths_and_small_shapes_stay() {
        let line =
            "<polyline fill=\"none\" stroke=\"#1F5FA8\" points=\"10,20 12,17 11,17 11,30 \"/>\n";
        let path = "<path fill=\"none\" stroke=\"#1F5FA8\" d=\"M10 20l2-3-1 0 0 13\"/>\n";
        let triangle = "<polygon fill=\"#1F5FA8\" points=\"0,0 4,0 2,4 \"/>\n";
        let text = "<text x=\"1\">\n<polyline>\n</text>\n";
        let svg = ["<svg>\n", line, triangle, text, "</svg>"].concat();
        assert_eq!(compact(&svg), ["<svg>\n", path, triangle, text, "</svg>"].concat());
        let corners: String = (0..9).map(|i| format!("{i},{} ", i * i)).collect();
        let area = compact(&format!("<polygon points=\"{corners}\"/>"));
        assert_eq!(area, "<path d=\"M0 0l1 1 1 3 1 5 1 7 1 9 1 11 1 13 1 15z\"/>");
    }
}
