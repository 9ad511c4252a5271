"""The pointer model: Llama layers read image and request, a head predicts maps of target and clicks, then it replies.

A coordinate's probability is that of its token times that of its bin in the click map: x marginal over the rows, y
given the x that was written. All else is a language model, with `generate` and a cache.

The maps of a turn are a value beside the cache (`PointerState`): one call returns it and the next one takes it, so that
no operation on a cache (rows repeated, selected, reordered, cut) loses it or leaves it with other rows.
"""

import inspect
from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from transformers import DynamicCache, GenerationMixin, PreTrainedModel
from transformers.masking_utils import create_causal_mask
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRMSNorm, LlamaRotaryEmbedding

from ibisagent.agent.policies.pointer.configuration import PointerConfig
from ibisagent.agent.policies.pointer.fine_drawing import FineDrawing
from ibisagent.agent.policies.pointer.outputs import PointerOutput, PointerState
from ibisagent.agent.policies.pointer.pointer_head import PointerHead, PointerMaps
from ibisagent.agent.policies.pointer.vision_encoder import VisionEncoder

__all__ = ["PointerForConditionalGeneration"]

# What transformers calls the cache: `cache` from 5.24 on, which warns of the name before.
_CACHE = "cache" if "cache" in inspect.signature(create_causal_mask).parameters else "past_key_values"

_CLICK_SIGMA = 0.025  # deviation, as a share of the picture's side, of a click named in the prompt
_REVISIT_WEIGHT, _REVISIT_SIGMA = 10.0, 0.01  # subtracted from the logits where a click was made; its deviation


class PointerForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
    """The whole model; it takes what a Qwen-VL takes, pictures all of the config's size.

    The maps of a reply are those of the last picture before it.
    """

    config_class = PointerConfig
    config: PointerConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    _tied_weights_keys = {"lm_head.weight": "embed_tokens.weight"}  # noqa: RUF012
    _supports_sdpa = True
    _no_split_modules = ["LlamaDecoderLayer"]  # noqa: RUF012

    def __init__(self, config: PointerConfig) -> None:
        """Build the layers from a config."""
        super().__init__(config)
        self.embed_tokens: nn.Module = nn.Embedding(config.vocab_size, config.hidden_size)
        self.visual = VisionEncoder(config)
        self.layers = nn.ModuleList([LlamaDecoderLayer(config, n) for n in range(config.num_hidden_layers)])
        self.rotary_emb = LlamaRotaryEmbedding(config=config)
        self.query_norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.norm = LlamaRMSNorm(config.hidden_size, eps=config.rms_norm_eps)
        self.pointer_head = PointerHead(config)
        self.lm_head: nn.Module = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.fine_drawing = FineDrawing(config) if config.fine_channels else None
        self.post_init()  # type: ignore[no-untyped-call]

    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)  # type: ignore[no-untyped-call]
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module is self.pointer_head.heatmap:  # at first a click may go anywhere
            nn.init.zeros_(self.pointer_head.heatmap.weight)
        if self.fine_drawing is not None and module is self.fine_drawing.last:  # at first it changes nothing
            nn.init.zeros_(self.fine_drawing.last.weight)

    def add_fine_drawing(self, channels: int) -> None:
        """Add the branch of the fine drawing to a model without it; its weights are drawn by torch's generator."""
        self.config.fine_channels = channels
        self.fine_drawing = FineDrawing(self.config)
        self.fine_drawing.apply(self._init_weights)
        self.fine_drawing.to(self.device, self.dtype)

    def get_input_embeddings(self) -> nn.Module:
        """Return the embedding of tokens."""
        return self.embed_tokens

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the embedding of tokens."""
        self.embed_tokens = value

    def get_output_embeddings(self) -> nn.Module:
        """Return the layer before the logits."""
        return self.lm_head

    @staticmethod
    def get_rope_index(input_ids: torch.Tensor, *_: Any, **__: Any) -> tuple[torch.Tensor, None]:
        """Return positions as Qwen-VL models do, (3, B, L): here one after the other, whatever the token."""
        return torch.arange(input_ids.shape[1]).expand(3, *input_ids.shape), None

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        cache: Any = None,
        past_key_values: Any = None,
        pointer_state: PointerState | None = None,
        pixel_values: torch.Tensor | None = None,
        image_grid_thw: torch.Tensor | None = None,
        mm_token_type_ids: torch.Tensor | None = None,
        segments: torch.Tensor | None = None,
        keep: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        draw_fine: bool = False,
        **_: Any,
    ) -> PointerOutput:
        """Predict tokens.

        ``cache``, or ``past_key_values`` by its name before transformers 5.24: what the calls before left; with it and
        no new picture, ``pointer_state`` is that of the output before. ``segments``: (B, L), in a packed row the number
        of each token's sample, 0 for what they share. ``keep``: (B, L) bool, where logits are wanted. A row's reply
        begins after the config's turn token. ``draw_fine``: the maps of new pictures are to hold the fine drawing, if
        the model has that branch; nothing else depends on it. The pictures' grid and the tokens' types are not needed.
        """
        del image_grid_thw, mm_token_type_ids
        held = cache if cache is not None else past_key_values
        if use_cache and held is None:
            held = DynamicCache(config=self.config)
        seen = held.get_seq_length() if held is not None else 0
        states = self.embed_tokens(input_ids)
        here = input_ids == self.config.image_token_id
        features = None
        if pixel_values is not None:
            features, tokens, seen_first = self.visual(pixel_values)
            if int(here.sum()) != len(tokens) * tokens.shape[1]:
                got = f"{int(here.sum())} picture tokens and {len(tokens)} pictures"
                raise ValueError(f"got {got}, expected {tokens.shape[1]} tokens for each")
            states = states.masked_scatter(here[..., None], tokens.to(states.dtype))
        if position_ids is None:
            position_ids = (torch.arange(input_ids.shape[1], device=input_ids.device) + seen)[None]
        elif position_ids.ndim == 3:
            position_ids = position_ids[0]
        mask = create_causal_mask(
            config=self.config,
            inputs_embeds=states,
            attention_mask=attention_mask,
            position_ids=position_ids,
            **{_CACHE: held},
        )
        layer_options: dict[str, Any] = {
            "attention_mask": mask,
            "position_embeddings": self.rotary_emb(states, position_ids=position_ids),
            _CACHE: held,
        }
        for layer in self.layers[: self.config.num_reader_layers]:
            states = layer(states, **layer_options)
        before = torch.full_like(input_ids[:, :1], -1).expand(-1, 2)
        if features is not None:
            ids = input_ids if segments is None else input_ids.masked_fill(segments < 0, -1)
            turns = torch.nonzero(ids == self.config.turn_token_id)
            shown = self._image_of_turn(here, turns)
            query = self.query_norm(states[turns[:, 0], turns[:, 1]])
            clicks, count = self._find_clicks(ids, turns, segments), len(turns)
            maps = self.pointer_head(
                features[shown], query, self._draw_clicks(clicks, count, self.config.image_size // 4, _CLICK_SIGMA)
            )
            revisit_penalty = _REVISIT_WEIGHT * self._draw_clicks(
                clicks, count, self.config.num_coordinates, _REVISIT_SIGMA
            )
            maps = maps._replace(
                click_logprobs=functional.log_softmax(
                    (maps.click_logprobs - revisit_penalty).flatten(2), dim=2
                ).view_as(revisit_penalty)
            )
            if draw_fine and self.fine_drawing is not None:
                fine = self.fine_drawing(seen_first[shown], features[shown], query, maps.target_logits)
                maps = maps._replace(fine_logits=fine)
            reply_of = _reply_of(ids.shape, turns, segments)
        elif pointer_state is not None:
            maps, before = pointer_state.maps, pointer_state.last_tokens
            reply_of = pointer_state.reply_of[:, None].expand(-1, input_ids.shape[1])
        else:
            remedy = "give pixel_values, or beside a cache `pointer_state` of the output that it came with"
            raise ValueError(f"got no picture, expected one before each reply; {remedy}")
        summary = functional.pad(maps.summary, (0, 0, 0, 1))[reply_of]  # the last row, zeros, is that of no turn
        states = states + summary.to(states.dtype)
        for layer in self.layers[self.config.num_reader_layers :]:
            states = layer(states, **layer_options)
        trail = torch.cat([before, input_ids], dim=1)
        wanted = torch.ones_like(input_ids, dtype=torch.bool) if keep is None else keep
        if keep is None:
            wanted[:, : -logits_to_keep or None] = logits_to_keep == 0
        logits = self.lm_head(self.norm(states[wanted])).float()
        logits = logits + self._coordinate_logits(maps, reply_of[wanted], trail.unfold(1, 3, 1)[wanted])
        if keep is None:
            logits = logits.view(len(input_ids), -1, logits.shape[-1])
        loss = None
        if labels is not None:
            loss = self.loss_function(logits=logits, labels=labels, vocab_size=self.config.vocab_size)
        now = PointerState(maps, reply_of[:, -1], trail[:, -2:])
        return PointerOutput(loss=loss, logits=logits, pointer_state=now, **{_CACHE: held})

    def predict_target(self, **inputs: Any) -> torch.Tensor:
        """Draw the target of each row's reply in one pass, (B, h, w) logits over the whole of its last picture.

        Its side is half of the picture's by the fine drawing, a quarter without that branch. ``inputs``: of `forward`,
        up to where the model replies.
        """
        state = self(**inputs, use_cache=False, logits_to_keep=1, draw_fine=True).pointer_state
        maps = state.maps
        return (maps.target_logits if maps.fine_logits is None else maps.fine_logits)[state.reply_of]  # type: ignore[no-any-return]

    def prepare_inputs_for_generation(self, input_ids: torch.Tensor, **kwargs: Any) -> dict[str, Any]:
        """Pass on the pointer state with the tokens before the new ones: beam search changes the rows."""
        given: dict[str, Any] = super().prepare_inputs_for_generation(input_ids, **kwargs)
        if given.get("pointer_state") is not None:
            known = input_ids.shape[1] - given["input_ids"].shape[1]
            given["pointer_state"] = given["pointer_state"]._replace(last_tokens=input_ids[:, :known][:, -2:])
        return given

    def _update_model_kwargs_for_generation(
        self, outputs: Any, model_kwargs: dict[str, Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        updated = super()._update_model_kwargs_for_generation(outputs, model_kwargs, *args, **kwargs)
        return updated | {"pointer_state": outputs.pointer_state}

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, is_encoder_decoder: bool = False, input_ids: Any = None, **kwargs: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Repeat rows for beams and samples, each with its pictures, which lie one after the other in one tensor."""
        expand: Any = super()._expand_inputs_for_generation  # type: ignore[misc]  # its `self` is a protocol
        pictures = {name: kwargs.pop(name) for name in ("pixel_values", "image_grid_thw") if name in kwargs}
        counts = self._count_images(input_ids).tolist()
        numbers: Any = torch.arange(sum(counts), device=input_ids.device)
        order = torch.cat([row.repeat(expand_size) for row in numbers.split(counts)])
        for name, value in pictures.items():
            pictures[name] = value.unflatten(0, (sum(counts), -1))[order].flatten(0, 1)
        ids, expanded = expand(
            expand_size=expand_size, is_encoder_decoder=is_encoder_decoder, input_ids=input_ids, **kwargs
        )
        return ids, expanded | pictures

    def _count_images(self, input_ids: torch.Tensor) -> torch.Tensor:
        """Return the number of pictures of each row, (B,) long."""
        return (input_ids == self.config.image_token_id).sum(dim=1) // self.visual.grid_size**2

    def _image_of_turn(self, here: torch.Tensor, turns: torch.Tensor) -> torch.Tensor:
        """Return the number in the batch of the last picture before each turn; ``here``: (B, L) bool, their tokens."""
        each = self.visual.grid_size**2
        before = here.flatten().cumsum(0).view_as(here)[turns[:, 0], turns[:, 1]] // each
        first = functional.pad(here.sum(dim=1).cumsum(0)[:-1], (1, 0))[turns[:, 0]] // each
        if not len(turns) or bool((before <= first).any()):
            raise ValueError("got a row without a picture before its reply, expected one; put it into the prompt")
        return before - 1

    def _coordinate_logits(self, maps: PointerMaps, reply_of: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Return what the maps add to the logits, (n, vocabulary); ``last``: (n, 3), the tokens before each."""
        config, turns = self.config, len(maps.click_logprobs)
        first, count = config.first_coordinate_token_id, config.num_coordinates
        added = maps.click_logprobs.new_zeros(len(reply_of), config.vocab_size)
        spot = added[:, first : first + count]
        for sign, opening in enumerate((config.positive_token_id, config.negative_token_id)):
            across = (last[:, 2] == opening) & (reply_of < turns)
            spot[across] = maps.click_logprobs[reply_of[across], sign].logsumexp(dim=1)
            column = last[:, 1] - first
            down = (last[:, 0] == opening) & (reply_of < turns) & (column >= 0) & (column < count)
            spot[down] = functional.log_softmax(maps.click_logprobs[reply_of[down], sign, :, column[down]], dim=1)
        return added

    def _find_clicks(self, ids: torch.Tensor, turns: torch.Tensor, segments: torch.Tensor | None) -> torch.Tensor:
        """Find the clicks named in each turn's prompt: (k, 4), the turn's number, 0 or 1 for the sign, row, column."""
        config = self.config
        signs = {config.positive_token_id: 0, config.negative_token_id: 1}
        first, found = config.first_coordinate_token_id, []
        rows, parts = ids.tolist(), segments.tolist() if segments is not None else None
        for number, (row, end) in enumerate(turns.tolist()):
            line = rows[row]
            own = range(end) if parts is None else [p for p in range(end) if parts[row][p] in (0, parts[row][end])]
            bins = [
                (line[p] - first, signs.get(line[p - 1])) for p in own if 0 <= line[p] - first < config.num_coordinates
            ]
            for (x, sign), (y, after) in pairwise(bins):
                if sign is not None and after is None:
                    found.append((number, sign, y, x))
        return torch.tensor(found, device=ids.device, dtype=torch.long).view(-1, 4)

    def _draw_clicks(self, clicks: torch.Tensor, count: int, side: int, spread: float) -> torch.Tensor:
        """Draw clicks, (count, 2, side, side), with 1 at their places; ``spread`` as a share of the picture's side."""
        out = torch.zeros(count, 2, side, side, device=clicks.device)
        middle = (torch.arange(side, device=clicks.device) + 0.5) / side
        rows, columns = ((clicks[:, part] + 0.5) / self.config.num_coordinates for part in (2, 3))
        away = (middle - rows[:, None])[:, :, None] ** 2 + (middle - columns[:, None])[:, None] ** 2
        each = torch.exp(-away / (2 * spread**2))
        for spot, (number, sign) in zip(each, clicks[:, :2].tolist(), strict=True):
            out[number, sign] = torch.maximum(out[number, sign], spot)
        return out


def _reply_of(shape: torch.Size, turns: torch.Tensor, segments: torch.Tensor | None) -> torch.Tensor:
    """Return for each token, (B, L), the number of the turn whose reply it belongs to; the count of turns for none."""
    reply_of = torch.full(shape, len(turns), device=turns.device)
    for number, (row, start) in enumerate(turns.tolist()):
        tail = reply_of[row, start:]
        if segments is None:
            tail[:] = number
        else:
            tail[segments[row, start:] == segments[row, start]] = number
    return reply_of
