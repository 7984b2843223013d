//! The interface of an engine, which computes the networks. See [`super::engines`] for the choice
//! of engine.

/// Which of the two networks of a DQN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkRole {
    /// Chooses actions, and is trained.
    Online,
    /// Values end states; follows the online network with a delay.
    Target,
}

/// The inputs of a minibatch. Matrices are row-major.
#[derive(Clone, Copy, Debug)]
pub struct MinibatchInputs<'a> {
    /// `[2 * row, slot, feature]`: the start states of the transitions, then their end states.
    pub market: &'a [f32],
    /// `[row, private]`
    pub private_tm1: &'a [f32],
    /// Number of states that each row may lead to.
    pub states: usize,
    /// `[row, state, private]`
    pub private_t: &'a [f32],
    /// Whether the online network's values in the end states are needed, too.
    pub double: bool,
}

/// Q-values of a minibatch.
#[derive(Clone, Debug, Default)]
pub struct MinibatchValues {
    /// `[row, action]`
    pub q_tm1: Vec<f32>,
    /// `[row, state, action]`; empty unless `double`.
    pub q_t_selector: Vec<f32>,
    /// The target network's values, shaped like `q_t_selector`.
    pub q_t_value: Vec<f32>,
}

/// Receives the values of a minibatch, and writes d loss / d `q_tm1`, `[row, action]`, into the
/// second argument.
pub(crate) type OnValues<'a> = dyn FnMut(&MinibatchValues, &mut Vec<f32>) + 'a;

/// The online and the target network, shared by all stocks. `slots` are the stock itself, then its
/// peers.
pub trait Engine: Send + Sync {
    /// Replaces a network's weights, in the order of its [`Layout`](super::parameters::Layout).
    fn load(&mut self, which: NetworkRole, weights: &[f32]);

    /// Q-values of the online network: `market` `[row, slot, feature]` and `private`
    /// `[row, private]` into `q` `[row, action]`.
    fn q_values(&self, slots: &[usize], market: &[f32], private: &[f32], q: &mut Vec<f32>);

    /// The part of the online network that depends on the market alone: `market`
    /// `[row, slot, feature]` into `out` `[row, 2 * embedding]`.
    fn context(&self, slots: &[usize], market: &[f32], out: &mut [f32]);

    /// The rest of the online network: `contexts` `[row, 2 * embedding]`, from [`Engine::context`]
    /// and of any stocks, with `private` `[row, private]` into `q` `[row, action]`.
    fn heads(&self, contexts: &[f32], private: &[f32], q: &mut Vec<f32>);

    /// The attention that the online network pays to each peer, as the mean over its heads:
    /// `market` `[row, slot, feature]` into `out` `[row, peer]`; each row sums to 1.
    ///
    /// # Panics
    ///
    /// If the network does not attend.
    fn attention(&self, slots: &[usize], market: &[f32], out: &mut Vec<f32>);

    /// Overwrites `gradient` with d loss / d parameters of the online network.
    fn learn(
        &self,
        slots: &[usize],
        seen: &MinibatchInputs<'_>,
        on_values: &mut OnValues<'_>,
        gradient: &mut [f32],
    );
}
