//! Clients whose operation is run again from its start, fed with the answers it had.
