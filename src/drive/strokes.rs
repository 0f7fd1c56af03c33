//! The letters of signs, shops and buses: single thin strokes, so that no reader of plates takes them for one.

/// Height of a letter, and the stroke's width, in units of the grid.
pub(crate) const HEIGHT: f32 = 6.0;
pub(crate) const STROKE: f32 = 0.5;
/// From one letter to the next.
const BETWEEN: f32 = 1.6;
/// Between two words.
const GAP: f32 = 3.0;

/// Letters and their strokes: each stroke a row of points, each point a column (0 to 4) and a row (0, the top, to 6).
const LETTERS: [(char, &[&str]); 36] = [
    ('A', &["062046", "1434"]),
    ('B', &["0600", "003041423303", "3344453606"]),
    ('C', &["4130100105163645"]),
    ('D', &["00304145360600"]),
    ('E', &["40000646", "0333"]),
    ('F', &["400006", "0333"]),
    ('G', &["41301001051636454323"]),
    ('H', &["0006", "4046", "0343"]),
    ('I', &["0006"]),
    ('J', &["4045361605"]),
    ('K', &["0006", "400346"]),
    ('L', &["000646"]),
    ('M', &["0600234046"]),
    ('N', &["06004640"]),
    ('O', &["103041453616050110"]),
    ('P', &["06003041423303"]),
    ('Q', &["103041453616050110", "3446"]),
    ('R', &["06003041423303", "2346"]),
    ('S', &["413010010213334445361605"]),
    ('T', &["0040", "2026"]),
    ('U', &["000516364540"]),
    ('V', &["002640"]),
    ('W', &["0016233640"]),
    ('X', &["0046", "4006"]),
    ('Y', &["002340", "2326"]),
    ('Z', &["00400646"]),
    ('0', &["103041453616050110", "4105"]),
    ('1', &["112026", "1636"]),
    ('2', &["0110304142060646"]),
    ('3', &["01103041423313", "334445361605"]),
    ('4', &["36300444"]),
    ('5', &["400002334445361605"]),
    ('6', &["413010010516364544330304"]),
    ('7', &["00401626"]),
    ('8', &["13020110304142331304051636454433"]),
    ('9', &["051636454130100102133342"]),
];

/// The strokes of `text` on the grid, and how wide it is. What is no letter is a gap.
pub(crate) fn strokes(text: &str) -> (Vec<[[f32; 2]; 2]>, f32) {
    let (mut lines, mut at) = (Vec::new(), 0.0);
    for character in text.chars() {
        let Some((_, strokes)) = LETTERS.iter().find(|(letter, _)| *letter == character) else {
            at += GAP;
            continue;
        };
        let mut wide = 0.0_f32;
        for stroke in *strokes {
            let numbers: Vec<f32> = stroke.chars().filter_map(|c| c.to_digit(10)).map(|digit| digit as f32).collect();
            let points: Vec<[f32; 2]> = numbers.chunks_exact(2).map(|point| [at + point[0], point[1]]).collect();
            wide = numbers.chunks_exact(2).map(|point| point[0]).fold(wide, f32::max);
            lines.extend(points.windows(2).map(|ends| [ends[0], ends[1]]));
        }
        at += wide + BETWEEN;
    }
    (lines, (at - BETWEEN).max(0.0))
}

/// The outline of one stroke, a little longer than it is so that strokes meet at corners.
pub(crate) fn outline([a, b]: [[f32; 2]; 2]) -> [[f32; 2]; 4] {
    let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
    let half = STROKE / 2.0 / (dx * dx + dy * dy).sqrt().max(1e-6);
    let (along, aside) = ([dx * half, dy * half], [-dy * half, dx * half]);
    let corner = |p: [f32; 2], s: f32, t: f32| [0, 1].map(|i| p[i] + along[i] * s + aside[i] * t);
    [corner(a, -1.0, -1.0), corner(b, 1.0, -1.0), corner(b, 1.0, 1.0), corner(a, -1.0, 1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_letter_is_drawn_within_its_cell() {
        for (letter, strokes) in LETTERS {
            let (lines, wide) = super::strokes(&letter.to_string());
            assert!(!lines.is_empty() && wide <= 4.0, "{letter}");
            for point in lines.iter().flatten() {
                assert!((0.0..=4.0).contains(&point[0]) && (0.0..=HEIGHT).contains(&point[1]), "{letter}: {point:?}");
            }
            for stroke in strokes {
                assert_eq!(stroke.chars().filter(char::is_ascii_digit).count() % 2, 0, "{letter}: {stroke}");
            }
        }
    }

    #[test]
    fn words_are_as_wide_as_their_letters_and_gaps() {
        assert_eq!(strokes("H").1, 4.0);
        assert!((strokes("HH").1 - 9.6).abs() < 1e-4);
        assert_eq!(strokes("").1, 0.0);
        let [a, b, c, d] = outline([[0.0, 0.0], [0.0, 6.0]]);
        assert_eq!((a, b, c, d), ([0.25, -0.25], [0.25, 6.25], [-0.25, 6.25], [-0.25, -0.25]));
    }
}
