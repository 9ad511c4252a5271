"""The sizes of the pointer model, and the tokens whose meaning it knows."""

from typing import Any

from transformers import LlamaConfig

__all__ = ["PointerConfig"]


class PointerConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """Settings of the text layers as in Llama, and of what goes beyond them.

    ``picture``, ``patch``, ``merge``: side of the square picture, of its patches in pixels, and how many patches across
    make one of the picture's tokens. ``widths``: channels of the vision tower at 1/2, 1/4, 1/8 and 1/16 of the side;
    ``depths``: its blocks at all but the first of them.
    ``features``: channels of its output at 1/4. ``maps``: maps that a request draws, the first of them its target.
    ``readers``: text layers before the drawing, of ``num_hidden_layers``. The ids: the picture's placeholder, the token
    after which the assistant speaks, what opens a positive and a negative click, and the first of ``coordinates``
    tokens that name bins from 0 to 1.
    """

    model_type = "ibisagent_pointer"

    def __init__(
        self,
        picture: int = 160,
        patch: int = 8,
        merge: int = 4,
        widths: tuple[int, ...] = (24, 48, 96, 160),
        depths: tuple[int, ...] = (1, 2, 2),
        features: int = 64,
        maps: int = 8,
        readers: int = 2,
        image_token_id: int = 0,
        turn_token_id: int = 0,
        positive_token_id: int = 0,
        negative_token_id: int = 0,
        first_coordinate_id: int = 0,
        coordinates: int = 100,
        **options: Any,
    ) -> None:
        """Take the sizes; ``options`` as in `LlamaConfig`."""
        self.picture, self.patch, self.merge = picture, patch, merge
        self.widths, self.depths, self.features, self.maps, self.readers = (
            list(widths),
            list(depths),
            features,
            maps,
            readers,
        )
        self.image_token_id, self.turn_token_id = image_token_id, turn_token_id
        self.positive_token_id, self.negative_token_id = positive_token_id, negative_token_id
        self.first_coordinate_id, self.coordinates = first_coordinate_id, coordinates
        super().__init__(**options)
