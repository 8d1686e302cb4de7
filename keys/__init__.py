"""Which keys, and when: policy, states, steps, stores."""
