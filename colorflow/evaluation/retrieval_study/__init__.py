"""Does retrieval find the right character: top-1 accuracy and t-SNE of an encoder's embeddings (paper Fig. 9)."""

from colorflow.evaluation.retrieval_study.accuracy import Accuracy, retrieval_accuracy
from colorflow.evaluation.retrieval_study.pictures import (
    CharacterFolder,
    CharacterPicture,
    CharacterPictures,
    ToonCharacters,
)
from colorflow.evaluation.retrieval_study.study import RetrievalStudy

__all__ = [
    "Accuracy",
    "CharacterFolder",
    "CharacterPicture",
    "CharacterPictures",
    "RetrievalStudy",
    "ToonCharacters",
    "retrieval_accuracy",
]
