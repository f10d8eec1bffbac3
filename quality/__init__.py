"""What the data must be: contracts, the gate that holds rows against them, batch checks, feedback to institutions."""
