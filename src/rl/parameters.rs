//! Names, shapes and places of a network's parameters in one flat buffer.

/// One parameter tensor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// As in a PyTorch state dict: `encoder.0.weight`.
    pub name: String,
    pub shape: Vec<i64>,
    /// First element in the flat buffer.
    pub offset: usize,
    pub len: usize,
}

/// All parameters of a network, in the order of the flat buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    parameters: Vec<Parameter>,
    len: usize,
}

impl Layout {
    pub fn push(&mut self, name: &str, shape: &[i64]) -> &Parameter {
        assert!(self.parameters.iter().all(|p| p.name != name), "parameter {name} named twice");
        let len = shape.iter().product::<i64>() as usize;
        let parameter =
            Parameter { name: name.to_string(), shape: shape.to_vec(), offset: self.len, len };
        self.len += len;
        self.parameters.push(parameter);
        self.parameters.last().expect("one was just pushed")
    }

    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// Elements of the flat buffer.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}
