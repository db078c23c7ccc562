//! How long does a loss that is composed in candle take, forward and backward, over the network as one operation of the engine and over
//! candle's own layers? One thread; 16-64-64-4 with 16 rows, with 32 tasks of 16, and a convolutional network on 25 images of 32 × 32.

mod candle;
mod timed;

fn main() {
    candle::single_thread();
    candle::composed::assert_same_gradients();
    timed::with_criterion(candle::composed::all());
}
