//! Tests of the room.

mod gate;
