"""Matrices: one interface for a 2-D weight, whatever its layout.

`trainable.TrainableMatrix` is what training changes. The others are stored layouts: what an
artefact holds and what is timed. Rank makes a low-rank matrix of a dense one, sparsity a sparse
one, a codec changes the precision of any of them; of a matrix that is made of others, they change
its leaves.
"""
