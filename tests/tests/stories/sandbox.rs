//! A hostile module is stopped at its limits, is given nothing, and its neighbours do not notice.

mod isolation;
mod limits;
mod loading;
mod neighbours;
