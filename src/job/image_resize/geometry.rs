//! [`Geometry`]: which part of a picture becomes how many pixels.

use super::config::Fit;

/// A part of a picture and the size it becomes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Geometry {
    /// The part that is taken, in pixels of the whole picture; it may begin and end within a pixel.
    pub left: f64,
    pub top: f64,
    pub part_width: f64,
    pub part_height: f64,
    /// What it becomes, at least 1 x 1.
    pub width: u32,
    pub height: u32,
}

impl Geometry {
    /// Fits a picture of this size into a box; `None` is a side without a bound (with [`Fit::Contain`] alone).
    pub fn new(picture: (u32, u32), bounds: (Option<u32>, Option<u32>), fit: Fit, enlarge: bool) -> Self {
        let (w, h) = (f64::from(picture.0), f64::from(picture.1));
        let most = if enlarge { f64::INFINITY } else { 1.0 };
        let scale = |bound: Option<u32>, side: f64| bound.map_or(f64::INFINITY, |bound| f64::from(bound) / side);
        let (scale_w, scale_h) = (scale(bounds.0, w), scale(bounds.1, h));
        let pixels = |side: f64| (side.round() as u32).max(1);
        let whole = Self { left: 0.0, top: 0.0, part_width: w, part_height: h, width: 1, height: 1 };
        match fit {
            Fit::Contain => {
                let scale = scale_w.min(scale_h).min(most);
                Self { width: pixels(w * scale), height: pixels(h * scale), ..whole }
            }
            Fit::Fill => Self { width: pixels(w * scale_w.min(most)), height: pixels(h * scale_h.min(most)), ..whole },
            Fit::Cover => {
                let scale = scale_w.max(scale_h);
                let (part_width, part_height) = ((w * scale_w / scale).min(w), (h * scale_h / scale).min(h));
                let scale = scale.min(most);
                Self {
                    left: (w - part_width) / 2.0,
                    top: (h - part_height) / 2.0,
                    part_width,
                    part_height,
                    width: pixels(part_width * scale),
                    height: pixels(part_height * scale),
                }
            }
        }
    }

    /// The same seen from the other side of a transposition: for a picture that is turned after it is resized.
    #[must_use]
    pub fn transposed(self) -> Self {
        Self {
            left: self.top,
            top: self.left,
            part_width: self.part_height,
            part_height: self.part_width,
            width: self.height,
            height: self.width,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(picture: (u32, u32), bounds: (u32, u32), fit: Fit, enlarge: bool) -> (u32, u32) {
        let found = Geometry::new(picture, (Some(bounds.0), Some(bounds.1)), fit, enlarge);
        (found.width, found.height)
    }

    #[test]
    fn contain_keeps_the_shape_and_never_enlarges_unasked() {
        assert_eq!(size((500, 375), (128, 128), Fit::Contain, false), (128, 96));
        assert_eq!(size((375, 500), (128, 128), Fit::Contain, false), (96, 128));
        assert_eq!(size((500, 333), (128, 128), Fit::Contain, false), (128, 85));
        assert_eq!(size((20, 5000), (128, 128), Fit::Contain, false), (1, 128));
        assert_eq!(size((1, 1), (128, 128), Fit::Contain, false), (1, 1));
        assert_eq!(size((1, 1), (128, 128), Fit::Contain, true), (128, 128));
        assert_eq!(size((100, 50), (128, 128), Fit::Contain, false), (100, 50));
        assert_eq!(size((100, 50), (128, 128), Fit::Contain, true), (128, 64));
    }

    #[test]
    fn one_bound_is_enough_to_contain() {
        let found = Geometry::new((500, 375), (Some(100), None), Fit::Contain, false);
        assert_eq!((found.width, found.height), (100, 75));
        let found = Geometry::new((500, 375), (None, Some(75)), Fit::Contain, false);
        assert_eq!((found.width, found.height), (100, 75));
    }

    #[test]
    fn cover_fills_the_box_from_the_middle() {
        let found = Geometry::new((500, 375), (Some(128), Some(128)), Fit::Cover, false);
        assert_eq!((found.width, found.height), (128, 128));
        assert_eq!((found.left, found.top, found.part_width, found.part_height), (62.5, 0.0, 375.0, 375.0));
        assert_eq!(size((20, 5000), (128, 128), Fit::Cover, false), (20, 20));
        assert_eq!(size((20, 5000), (128, 128), Fit::Cover, true), (128, 128));
        assert_eq!(size((100, 80), (50, 200), Fit::Cover, false), (20, 80));
        assert_eq!(size((1, 1), (16384, 1), Fit::Cover, false), (1, 1));
    }

    #[test]
    fn fill_takes_each_side_for_itself() {
        assert_eq!(size((500, 375), (128, 128), Fit::Fill, false), (128, 128));
        assert_eq!(size((100, 375), (128, 128), Fit::Fill, false), (100, 128));
        assert_eq!(size((100, 375), (128, 128), Fit::Fill, true), (128, 128));
    }

    #[test]
    fn no_size_is_ever_zero_and_no_part_lies_outside() {
        for picture in [(1, 1), (1, 65535), (65535, 1), (3, 7), (16384, 16383), (20, 5000)] {
            for bounds in [(1, 1), (1, 16384), (16384, 1), (128, 128), (7, 3)] {
                for fit in [Fit::Contain, Fit::Cover, Fit::Fill] {
                    for enlarge in [false, true] {
                        let found = Geometry::new(picture, (Some(bounds.0), Some(bounds.1)), fit, enlarge);
                        assert!(found.width >= 1 && found.height >= 1, "{picture:?} {bounds:?} {fit:?}");
                        assert!(found.width <= bounds.0 && found.height <= bounds.1, "{picture:?} {bounds:?} {fit:?} {found:?}");
                        assert!(found.left >= 0.0 && found.left + found.part_width <= f64::from(picture.0));
                        assert!(found.top >= 0.0 && found.top + found.part_height <= f64::from(picture.1));
                    }
                }
            }
        }
    }
}
