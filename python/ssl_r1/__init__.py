"""Visual puzzles for reinforcement learning, streamed from a loader: client, rewards and trainer adaptors."""
