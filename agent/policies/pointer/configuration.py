"""The configuration of the pointer model: its sizes, and the ids of its special tokens."""

from typing import Any

from transformers import LlamaConfig

__all__ = ["PointerConfig"]


class PointerConfig(LlamaConfig):  # type: ignore[no-untyped-call]
    """Settings of the text layers as in Llama, and of what goes beyond them.

    ``image_size``, ``patch_size``: side in pixels of the square picture and of its patches; ``spatial_merge_size``: how
    many patches across make one of the picture's tokens. ``widths``: channels of the vision encoder at 1/2, 1/4, 1/8
    and 1/16 of the side; ``depths``: its blocks at all but the first of them. ``feature_channels``: of its output at
    1/4. ``num_maps``: maps of a request, the first of them its target. ``fine_channels``: of the branch that draws the
    target at 1/2, 0: none. ``num_reader_layers``: text layers before the pointer head, of ``num_hidden_layers``. The
    ids: the picture's placeholder, the token after which the assistant replies, what opens a positive and a negative
    click, and the first of ``num_coordinates`` tokens that name bins from 0 to 1.
    """

    model_type = "ibisagent_pointer"

    def __init__(
        self,
        image_size: int = 160,
        patch_size: int = 8,
        spatial_merge_size: int = 4,
        widths: tuple[int, ...] = (24, 48, 96, 160),
        depths: tuple[int, ...] = (1, 2, 2),
        feature_channels: int = 64,
        num_maps: int = 8,
        fine_channels: int = 0,
        num_reader_layers: int = 2,
        image_token_id: int = 0,
        turn_token_id: int = 0,
        positive_token_id: int = 0,
        negative_token_id: int = 0,
        first_coordinate_token_id: int = 0,
        num_coordinates: int = 100,
        **options: Any,
    ) -> None:
        """Take the sizes; ``options`` as in `LlamaConfig`."""
        self.image_size, self.patch_size, self.spatial_merge_size = image_size, patch_size, spatial_merge_size
        self.widths, self.depths, self.feature_channels, self.num_maps, self.num_reader_layers = (
            list(widths),
            list(depths),
            feature_channels,
            num_maps,
            num_reader_layers,
        )
        self.fine_channels = fine_channels
        self.image_token_id, self.turn_token_id = image_token_id, turn_token_id
        self.positive_token_id, self.negative_token_id = positive_token_id, negative_token_id
        self.first_coordinate_token_id, self.num_coordinates = first_coordinate_token_id, num_coordinates
        super().__init__(**options)
