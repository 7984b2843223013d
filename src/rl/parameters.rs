//! Names, shapes and offsets of a network's parameters in a flat buffer.

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParameterTensor {
    /// As in a PyTorch state dict: `encoder.0.weight`.
    pub name: String,
    /// As in PyTorch; row-major.
    pub shape: Vec<i64>,
    /// Index of the first element in the flat buffer.
    pub offset: usize,
    /// Number of elements.
    pub len: usize,
}

/// All parameters of a network, in the order of the flat buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    parameters: Vec<ParameterTensor>,
    len: usize,
}

impl Layout {
    pub(crate) fn push(&mut self, name: &str, shape: &[i64]) -> &ParameterTensor {
        assert!(self.parameters.iter().all(|p| p.name != name), "parameter {name} named twice");
        let len = shape.iter().product::<i64>() as usize;
        let parameter = ParameterTensor {
            name: name.to_string(),
            shape: shape.to_vec(),
            offset: self.len,
            len,
        };
        self.len += len;
        self.parameters.push(parameter);
        self.parameters.last().expect("one was just pushed")
    }

    /// In the order of the flat buffer.
    pub fn parameters(&self) -> &[ParameterTensor] {
        &self.parameters
    }

    /// Each parameter with its part of a flat buffer of [`Layout::len`] elements.
    #[cfg(test)]
    pub(crate) fn split<'a>(
        &'a self,
        flat: &'a [f32],
    ) -> impl Iterator<Item = (&'a ParameterTensor, &'a [f32])> {
        assert_eq!(flat.len(), self.len, "elements of the flat buffer");
        self.parameters.iter().map(|p| (p, &flat[p.offset..p.offset + p.len]))
    }

    /// Number of elements of the flat buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no parameters.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_lie_end_to_end_in_the_order_pushed() {
        let mut layout = Layout::default();
        layout.push("b", &[2, 3]);
        layout.push("a", &[2]);
        assert_eq!(layout.len(), 8);
        let flat: Vec<f32> = (0..8).map(|i| i as f32).collect();
        let parts: Vec<_> = layout.split(&flat).map(|(p, part)| (p.name.as_str(), part)).collect();
        assert_eq!(parts, [("b", &flat[..6]), ("a", &flat[6..])]);
    }

    #[test]
    #[should_panic(expected = "parameter a named twice")]
    fn a_name_stands_for_one_parameter() {
        let mut layout = Layout::default();
        layout.push("a", &[1]);
        layout.push("a", &[2]);
    }
}
