"""One image is brought onto another: ANTs, greedy, coregistration, motion, distortion."""
