#!/usr/bin/env python3
"""Makes the sample shards and their README: photos-000000.tar, photos-000001.tar, README.md.

    python bench/make-shards.py --packages DIR --out shards

DIR holds the unpacked origins (Debian 12 and PyPI):

    apt-get download gcompris-qt-data lomiri-wallpapers-16.04
    for deb in *.deb; do dpkg-deb -x "$deb" DIR; done
    pip download --no-deps scikit-image==0.26.0 scikit-learn==1.9.1
    python -m zipfile -e scikit_image-*.whl DIR/scikit_image; python -m zipfile -e scikit_learn-*.whl DIR/scikit_learn

One run with one Pillow gives the same bytes as the next: no clock, no names of the machine, a fixed order.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import pathlib
import struct
import tarfile
import zlib
from collections.abc import Iterator

import PIL
from PIL import Image

COMMONS = "https://commons.wikimedia.org/wiki/File:"
LOMIRI = "https://gitlab.com/ubports/development/core/lomiri-wallpapers"
SKIMAGE = "https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data."

LICENCES = {
    "Public domain": "https://creativecommons.org/public-domain/pdm/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-2.0": "https://creativecommons.org/licenses/by/2.0/",
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
}
PD, CC0, BY2, BY3, BY4, SA4 = LICENCES

# Where a package keeps its files. GCompris packs its photos into Qt resource files, named before the colon.
ERASE = "usr/share/gcompris-qt/rcc/erase.rcc:gcompris/src/activities/erase/resource/"
MONUMENTS = "usr/share/gcompris-qt/rcc/explore_monuments.rcc:gcompris/src/activities/explore_monuments/resource/"
BACKGROUNDS = "usr/share/backgrounds/"
SKDATA = "scikit_image/skimage/data/"
SKLEARN = "scikit_learn/sklearn/datasets/images/"
PACKAGES = {
    ERASE: "Debian gcompris-qt-data 3.1, erase",
    MONUMENTS: "Debian gcompris-qt-data 3.1, explore_monuments",
    BACKGROUNDS: "Debian lomiri-wallpapers-16.04",
    SKDATA: "scikit-image 0.26.0, skimage/data",
    SKLEARN: "scikit-learn 1.9.1, sklearn/datasets/images",
}


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photograph and what is cut from it.

    Each cut is (width, height, x, y, scale): the box with that aspect whose size is `scale` times the largest that
    fits, its centre at the fractions x, y of the photograph (moved inside where it would leave it).
    """

    name: str
    folder: str
    file: str
    title: str
    author: str
    licence: str
    source: str
    cuts: tuple[tuple[int, int, float, float, float], ...]
    format: str = "jpg"


def cut(width: int, height: int, x: float = 0.5, y: float = 0.5, scale: float = 1.0) -> tuple[int, int, float, float, float]:
    return (width, height, x, y, scale)


# fmt: off
PHOTOS = (
    Photo("alpaca", ERASE, "alpaca.webp", "Alpaca", "Dietmar Rabich", SA4, COMMONS + "D%C3%BClmen,_B%C3%B6rnste,_Alpakas_--_2020_--_5338.jpg", (cut(480, 560, 0.25),)),
    Photo("bee", ERASE, "bee.webp", "Bee at red flowers", "aussiegall", BY2, COMMONS + "Pollinationn.jpg", (cut(640, 400),)),
    Photo("butterfly", ERASE, "butterfly.webp", "Parantica aglea", "Jee & Rani Nature Photography", SA4, COMMONS + "Parantica_aglea_at_Nayikayam_Thattu.jpg", (cut(560, 420),)),
    Photo("calf", ERASE, "calf.webp", "Calf", "Basile Morin", SA4, COMMONS + "Close-up_photograph_of_a_calf%27s_head_looking_at_the_viewer_with_pricked_ears_in_Don_Det_Laos.jpg", (cut(640, 360),)),
    Photo("camels", ERASE, "camels.webp", "Bactrian camels", "Alexandr frolov", SA4, COMMONS + "Camelus_bactrianus_in_western_Mongolia_02.jpg", (cut(640, 380),)),
    Photo("cheetah", ERASE, "cheetah.webp", "Cheetah", "Charles J. Sharp", SA4, COMMONS + "Cheetah_(Acinonyx_jubatus)_female_2.jpg", (cut(600, 400, 0.75),)),
    Photo("crab", ERASE, "crab.webp", "Sally Lightfoot crab", "Nosferattus", CC0, COMMONS + "Sally_Lightfoot_Crab_2019.jpg", (cut(640, 360),)),
    Photo("gibbon", ERASE, "gibbon.webp", "White-handed gibbon", "JJ Harrison", BY3, COMMONS + "Hylobates_lar_-_Kaeng_Krachan_WB.jpg", (cut(420, 560, 0.55),)),
    Photo("goat", ERASE, "goat.webp", "Valais Blackneck goat", "JoachimKohlerBremen", SA4, COMMONS + "Walliser_Schwarzhalsziege,_Belalp_2014.jpg", (cut(576, 400, 0.55),)),
    Photo("gosling", ERASE, "gosling.webp", "Greylag gosling", "Stephan Sprinz", SA4, COMMONS + "Graugans-G%C3%B6ssel_(anser_anser)_im_Naturschutzgebiet_Wagbachniederung.jpg", (cut(420, 480, 0.52),)),
    Photo("heron", ERASE, "heron.webp", "Purple heron in flight", "Stephan Sprinz", SA4, COMMONS + "Purpurreiher_(ardea_purpurea)_im_Flug_-_NSG_Wagbachniederung_1.jpg", (cut(560, 350),), "webp"),
    Photo("horse", ERASE, "horse.webp", "Zaniskari horse", "Eatcha", SA4, COMMONS + "Zaniskari_Horse_in_Ladakh.jpg", (cut(500, 375, 0.4),)),
    Photo("kingfisher", ERASE, "kingfisher.webp", "Kingfisher", "Frank-2.0", CC0, COMMONS + "Eisvogel_kingfisher.jpg", (cut(320, 288, 0.48),), "png"),
    Photo("kitten", ERASE, "kitten.webp", "Kitten", "GalgenTX", BY2, COMMONS + "A_posing_kitten_(Flickr).jpg", (cut(560, 420),)),
    Photo("meerkats", ERASE, "meerkats.webp", "Meerkats", "Charles J. Sharp", SA4, COMMONS + "Meerkat_(Suricata_suricatta)_Tswalu.jpg", (cut(600, 450, 0.6),)),
    Photo("ibex", ERASE, "nubian_ibex.webp", "Young Nubian ibex", "Rhododendrites", SA4, COMMONS + "Juvenile_Nubian_ibex_in_Mitzpe_Ramon_(40409).jpg", (cut(480, 480, 0.6),)),
    Photo("penguin", ERASE, "penguin.webp", "Chinstrap penguin", "Gordon Leggett", SA4, COMMONS + "2019-03-03_Chinstrap_penguin_on_Barrientos_Island,_Antarctica.jpg", (cut(450, 560),)),
    Photo("pika", ERASE, "pika.webp", "Pika", "NPS Climate Change Response", PD, "https://www.flickr.com/photos/npsclimatechange/23072904076/", (cut(600, 450, 0.5),)),
    Photo("red-panda", ERASE, "red_panda.webp", "Red panda", "Mathias Appel", CC0, COMMONS + "Red_Panda_(30324056733).jpg", (cut(640, 427),)),
    Photo("rhinoceros", ERASE, "rhinoceros.webp", "Indian rhinoceros", "Charles J. Sharp", SA4, COMMONS + "Indian_rhinoceros_(Rhinoceros_unicornis)_4.jpg", (cut(640, 448),)),
    Photo("squirrel", ERASE, "squirrel.webp", "Squirrel on a tree", "Roman Naumov", SA4, COMMONS + "%D0%91%D1%96%D0%BB%D0%BA%D0%B0_%D0%BD%D0%B0_%D0%B4%D0%B5%D1%80%D0%B5%D0%B2%D1%96_%D0%B2_%D0%B4%D0%B5%D0%BD%D0%B4%D1%80%D0%BE%D0%BF%D0%B0%D1%80%D0%BA%D1%83_%D0%9E%D0%BB%D0%B5%D0%BA%D1%81%D0%B0%D0%BD%D0%B4%D1%80%D1%96%D1%8F.jpg", (cut(512, 512, 0.3),)),
    Photo("swans", ERASE, "swans.webp", "Mute swans and cygnets", "Charles J. Sharp", SA4, COMMONS + "Mute_swans_(Cygnus_olor)_and_cygnets.jpg", (cut(640, 360),)),
    Photo("toucan", ERASE, "toucan.webp", "Collared aracari", "LG Nyqvist", SA4, COMMONS + "Pteroglossus_torquatus_Costa_Rica.jpg", (cut(540, 405, 0.4),)),
    Photo("colosseum", MONUMENTS, "wonders/colosseum.webp", "Colosseum, Rome", "Urse Ovidiu", PD, COMMONS + "Colosseum_Roma_2009.jpg", (cut(560, 364),)),
    Photo("great-wall", MONUMENTS, "wonders/greatWallofChina.webp", "Great Wall of China", "Nicolas Perrault III", PD, COMMONS + "Great_Wall_of_China_July_2006.JPG", (cut(566, 425),)),
    Photo("machu-picchu", MONUMENTS, "wonders/machuPicchu.webp", "Machu Picchu", "Guillaume Pascal", PD, COMMONS + "Yet_another_pic_of_machu_picchu.jpg", (cut(560, 360),)),
    Photo("petra", MONUMENTS, "wonders/petra.webp", "Petra", "Berthold Werner", PD, COMMONS + "Petra_Jordan_BW_36.JPG", (cut(496, 496),)),
    Photo("charminar", MONUMENTS, "india/charminar.webp", "Charminar, Hyderabad", "Goutamkhandelwal", PD, COMMONS + "Charminar_1.JPG", (cut(480, 640),)),
    Photo("gateway", MONUMENTS, "india/gatewayofIndia.webp", "Gateway of India, Mumbai", "Simon Steinberger", PD, COMMONS + "Gateway-of-India.jpg", (cut(560, 420),)),
    Photo("golden-temple", MONUMENTS, "india/goldenTemple.webp", "Golden Temple, Amritsar", "Jasdeep Singh", PD, COMMONS + "Golden_Temple_.jpg", (cut(600, 450),)),
    Photo("hawa-mahal", MONUMENTS, "india/hawaMahal.webp", "Hawa Mahal, Jaipur", "Janwiki", PD, COMMONS + "Hawa_Mahal,_Jaipur,_India.jpg", (cut(566, 425),)),
    Photo("mysore-palace", MONUMENTS, "india/mysorePalace.webp", "Mysore Palace", "Shiva sg", PD, COMMONS + "Mysore_Palace_2006.jpg", (cut(604, 378),)),
    Photo("qutub-minar", MONUMENTS, "india/qutubMinar.webp", "Qutub Minar, Delhi", "pramadas", PD, COMMONS + "Qutubmin.jpg", (cut(454, 605),)),
    Photo("arles", MONUMENTS, "france/arlesAmphitheater.webp", "Amphitheatre of Arles", "OT Arles", PD, COMMONS + "Arenes_arles.JPG", (cut(604, 453),)),
    Photo("chambord", MONUMENTS, "france/chateaudeChambord.webp", "Château de Chambord", "BjörnT", PD, COMMONS + "Chambord_Frontansicht.JPG", (cut(582, 437),)),
    Photo("chenonceau", MONUMENTS, "france/chateaudeChenonceau.webp", "Château de Chenonceau", "Alf van Beem", PD, COMMONS + "Ch%C3%A2teau_de_Chenonceau_photo_1.JPG", (cut(566, 425),)),
    Photo("carcassonne", MONUMENTS, "france/citedeCarcassonne.webp", "Cité de Carcassonne", "Petitemontagnedujura", PD, COMMONS + "Carcassonne_-_la_Cit%C3%A9.jpg", (cut(425, 519, 0.35),)),
    Photo("eiffel-tower", MONUMENTS, "france/eiffelTower.webp", "Eiffel Tower, Paris", "Tognopop", PD, COMMONS + "Eiffel_Tower_20051010.jpg", (cut(427, 640, 0.47),)),
    Photo("mont-saint-michel", MONUMENTS, "france/montStMichel.webp", "Mont Saint-Michel", "Ali Sabbagh", PD, COMMONS + "Mont_Saint-Michel_IMG_5109_(48875955288).jpg", (cut(640, 400, 0.6),)),
    Photo("pont-du-gard", MONUMENTS, "france/pontduGard.webp", "Pont du Gard", "Mimova", PD, COMMONS + "Pontdugard.jpg", (cut(566, 378),)),
    Photo("rocamadour", MONUMENTS, "france/rocamadour.webp", "Rocamadour", "François Darras", PD, COMMONS + "Rocamadour_fda.jpg", (cut(566, 378),)),
    Photo("berlin-cathedral", MONUMENTS, "germany/berlinCathedral.webp", "Berlin Cathedral", "Gary Todd", PD, COMMONS + "Berlin_Cathedral_(28668994926).jpg", (cut(605, 403),)),
    Photo("brandenburg-gate", MONUMENTS, "germany/brandenburgGate.webp", "Brandenburg Gate, Berlin", "Evans1551", PD, COMMONS + "Brandenburg_Gate_(summer_2005).JPG", (cut(600, 450),)),
    Photo("neuschwanstein", MONUMENTS, "germany/neuschwansteinCastle.webp", "Neuschwanstein Castle", "cameralends", PD, COMMONS + "Neuschwanstein_Castle_(532850).jpg", (cut(604, 402),)),
    Photo("schwerin", MONUMENTS, "germany/schwerinPalace.webp", "Schwerin Palace", "Hermann Luyken", PD, COMMONS + "2012.02.26.121724_Schloss_Schwerin.jpg", (cut(560, 373),)),
    Photo("astronaut", SKDATA, "astronaut.png", "Astronaut Eileen Collins", "NASA", PD, SKIMAGE + "astronaut", (cut(512, 512),)),
    Photo("camera", SKDATA, "camera.png", "Photographer (grayscale)", "Lav Varshney", CC0, SKIMAGE + "camera", (cut(300, 300),), "png"),
    Photo("cat", SKDATA, "chelsea.png", "Chelsea the cat", "Stefan van der Walt", CC0, SKIMAGE + "cat", (cut(451, 300),)),
    Photo("coffee", SKDATA, "coffee.png", "Cup of coffee", "Rachel Michetti", CC0, SKIMAGE + "coffee", (cut(600, 400),)),
    Photo("rocket", SKDATA, "rocket.jpg", "Launch of DSCOVR on Falcon 9", "SpaceX", PD, SKIMAGE + "rocket", (cut(640, 427),)),
    Photo("pagoda", SKLEARN, "china.jpg", "Summer Palace, Beijing", "danielbuechele", BY2, "https://www.flickr.com/photos/danielbuechele/6061409035/", (cut(560, 373),)),
    Photo("dahlia", SKLEARN, "flower.jpg", "Flower", "vultilion", BY2, "https://www.flickr.com/photos/vultilion/6056698931/", (cut(480, 320),), "webp"),
    Photo("picos", BACKGROUNDS, "picosdeeuropa_by_Aitzol_Berasategi.jpg", "Picos de Europa", "Aitzol Berasategi", BY4, LOMIRI, (cut(600, 450), cut(480, 400, 0.3, 0.75, 0.45), cut(560, 360, 0.72, 0.38, 0.4))),
    Photo("brook", BACKGROUNDS, "life_by_Aitzol_Berasategi.jpg", "Brook in a forest", "Aitzol Berasategi", BY4, LOMIRI, (cut(480, 320), cut(320, 400, 0.5, 0.6, 0.6), cut(400, 300, 0.85, 0.6, 0.5))),
    Photo("dandelions", BACKGROUNDS, "seeding_by_Clements_Engelhardt.jpg", "Dandelions", "Clemens Engelhardt", CC0, LOMIRI, (cut(640, 360), cut(480, 480, 0.25, 0.4, 0.7))),
    Photo("ridge", BACKGROUNDS, "aitzgorri_by_Aitzol_Berasategi.jpg", "Ridge of Aizkorri", "Aitzol Berasategi", BY4, LOMIRI, (cut(600, 400), cut(420, 320, 0.75, 0.55, 0.5))),
    Photo("dogs", BACKGROUNDS, "friends_by_Aitzol_Berasategi.jpg", "Two dogs at a window", "Aitzol Berasategi", BY4, LOMIRI, (cut(400, 600), cut(400, 400, 0.45, 0.3, 0.7))),
    Photo("wine", BACKGROUNDS, "Wine_by_Jakkub_Mede.jpg", "Drum, table and wine", "Jakub Mede", BY4, LOMIRI, (cut(427, 640),)),
    Photo("fig", BACKGROUNDS, "Picture_0B_by_freespace.jpg", "Fig in a bowl", "Trevor \"Freespace\"", BY4, LOMIRI, (cut(600, 406),)),
    Photo("brushes", BACKGROUNDS, "Picture_1A_by_freespace.jpg", "Paint brushes", "Trevor \"Freespace\"", BY4, LOMIRI, (cut(520, 400),)),
    Photo("sunset", BACKGROUNDS, "sunset_by_Aitzol_Berasategi.jpg", "Sunset in the mountains", "Aitzol Berasategi", BY4, LOMIRI, (cut(640, 427),)),
)
# fmt: on


def resources(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Files of a Qt resource collection (rcc), as written by Qt 5's rcc --binary."""
    magic, version, tree, data, names = struct.unpack_from(">4sIIII", raw, 0)
    if magic != b"qres":
        raise ValueError("not a Qt resource file")
    node = 14 if version == 1 else 22

    def walk(number: int, prefix: str) -> Iterator[tuple[str, bytes]]:
        at = tree + number * node
        name_at, flags = struct.unpack_from(">IH", raw, at)
        (length,) = struct.unpack_from(">H", raw, names + name_at)
        name = raw[names + name_at + 6 : names + name_at + 6 + 2 * length].decode("utf-16-be") if number else ""
        if flags & 2:
            count, first = struct.unpack_from(">II", raw, at + 6)
            for child in range(first, first + count):
                yield from walk(child, prefix + name + "/" if number else "")
            return
        (offset,) = struct.unpack_from(">I", raw, at + 10)
        (size,) = struct.unpack_from(">I", raw, data + offset)
        body = raw[data + offset + 4 : data + offset + 4 + size]
        yield prefix + name, zlib.decompress(body[4:]) if flags & 1 else body

    return walk(0, "")


def opened(packages: pathlib.Path, photo: Photo) -> Image.Image:
    place = photo.folder + photo.file
    container, _, member = place.partition(":")
    raw = (packages / container).read_bytes()
    if member:
        raw = dict(resources(raw))[member]
    image = Image.open(io.BytesIO(raw))
    return image if image.mode == "L" else image.convert("RGB")


def encoded(image: Image.Image, photo: Photo, shape: tuple[int, int, float, float, float]) -> bytes:
    width, height, x, y, scale = shape
    factor = min(image.width / width, image.height / height) * scale
    box_width, box_height = round(width * factor), round(height * factor)
    left = min(max(round(image.width * x - box_width / 2), 0), image.width - box_width)
    top = min(max(round(image.height * y - box_height / 2), 0), image.height - box_height)
    small = image.resize((width, height), Image.Resampling.LANCZOS, (left, top, left + box_width, top + box_height))
    out = io.BytesIO()
    if photo.format == "png":
        small.save(out, "PNG", optimize=True)
    elif photo.format == "webp":
        small.save(out, "WEBP", quality=88, method=6)
    else:
        small.save(out, "JPEG", quality=88, subsampling="4:2:0", optimize=True)
    return out.getvalue()


def write_shard(path: pathlib.Path, samples: list[tuple[str, str, bytes, bytes]]) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, extension, image, record in samples:
            for name, body in ((f"{key}.{extension}", image), (f"{key}.json", record)):
                info = tarfile.TarInfo(name)
                info.size = len(body)
                tar.addfile(info, io.BytesIO(body))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--packages", type=pathlib.Path, required=True)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--shards", type=int, default=2)
    given = parser.parse_args()

    samples = []
    rows = []
    for photo in PHOTOS:
        image = opened(given.packages, photo)
        keys = [photo.name if len(photo.cuts) == 1 else f"{photo.name}-{n}" for n in range(1, len(photo.cuts) + 1)]
        for key, shape in zip(keys, photo.cuts, strict=True):
            record = {"group": photo.name, "title": photo.title, "author": photo.author, "licence": photo.licence, "source": photo.source}
            text = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()
            samples.append((key, photo.format, encoded(image, photo, shape), text))
        origin = f"{PACKAGES[photo.folder]}: {photo.file}"
        rows.append(f"| {', '.join(keys)} | [{photo.title}]({photo.source}) | {origin} | {photo.author} | [{photo.licence}]({LICENCES[photo.licence]}) |")

    # a fixed mix, so that animals, buildings and crops of one photo are spread over the shards
    samples.sort(key=lambda sample: hashlib.sha256(sample[0].encode()).digest())
    per_shard = -(-len(samples) // given.shards)
    given.out.mkdir(parents=True, exist_ok=True)
    for shard in range(given.shards):
        write_shard(given.out / f"photos-{shard:06d}.tar", samples[shard * per_shard : (shard + 1) * per_shard])

    (given.out / "README.md").write_text(
        f"""# Sample shards

{len(samples)} samples of {len(PHOTOS)} photographs in WebDataset form, for the examples, the tests and a first try. Each sample is an encoded image
(JPEG, but for two PNG and two WebP) and a `.json` with `group` (crops of one photograph share it), `title`, `author`, `licence` and `source`.
Changes: every photograph was cropped, scaled to at most 640 pixels and encoded anew; the metadata was dropped.

The photographs keep the licences below; they are not under the licence of the code. `bench/make-shards.py` made the files (Pillow {PIL.__version__}) and this page.
Authors and licences are those that the origins state: the README of the activity's resource folder in GCompris's sources, Debian's copyright file of
lomiri-wallpapers, the documentation of `skimage.data`, the README beside scikit-learn's images.

| sample | title and source | taken from | author | licence |
|---|---|---|---|---|
"""
        + "\n".join(rows)
        + "\n",
        encoding="utf-8",
    )
    lengths = sorted(len(image) for _, _, image, _ in samples)
    print(f"{len(samples)} samples, {sum(lengths)} bytes of images, median {lengths[len(lengths) // 2]}, {lengths[0]} .. {lengths[-1]}")


if __name__ == "__main__":
    main()
