//! What the crew is told of a hit: grade, words and tone.
