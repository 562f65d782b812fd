"""The facts the model learns: countries by continent, with their capitals.

A country is written as it stands in a sentence ("the Netherlands"). Countries whose capital is
divided or disputed are left out, because the model gives one name without a qualification.
"""

CONTINENTS: dict[str, dict[str, str]] = {
    "Europe": {
        "France": "Paris",
        "Germany": "Berlin",
        "Italy": "Rome",
        "Spain": "Madrid",
        "Portugal": "Lisbon",
        "the United Kingdom": "London",
        "Ireland": "Dublin",
        "the Netherlands": "Amsterdam",
        "Belgium": "Brussels",
        "Austria": "Vienna",
        "Switzerland": "Bern",
        "Denmark": "Copenhagen",
        "Sweden": "Stockholm",
        "Norway": "Oslo",
        "Finland": "Helsinki",
        "Iceland": "Reykjavik",
        "Poland": "Warsaw",
        "the Czech Republic": "Prague",
        "Slovakia": "Bratislava",
        "Hungary": "Budapest",
        "Romania": "Bucharest",
        "Bulgaria": "Sofia",
        "Greece": "Athens",
        "Croatia": "Zagreb",
        "Serbia": "Belgrade",
        "Slovenia": "Ljubljana",
        "Ukraine": "Kyiv",
        "Russia": "Moscow",
        "Estonia": "Tallinn",
        "Latvia": "Riga",
        "Lithuania": "Vilnius",
        "Luxembourg": "Luxembourg City",
        "Malta": "Valletta",
        "Albania": "Tirana",
    },
    "Asia": {
        "Japan": "Tokyo",
        "China": "Beijing",
        "India": "New Delhi",
        "South Korea": "Seoul",
        "North Korea": "Pyongyang",
        "Thailand": "Bangkok",
        "Vietnam": "Hanoi",
        "the Philippines": "Manila",
        "Malaysia": "Kuala Lumpur",
        "Indonesia": "Jakarta",
        "Pakistan": "Islamabad",
        "Bangladesh": "Dhaka",
        "Nepal": "Kathmandu",
        "Mongolia": "Ulaanbaatar",
        "Kazakhstan": "Astana",
        "Uzbekistan": "Tashkent",
        "Turkey": "Ankara",
        "Iran": "Tehran",
        "Iraq": "Baghdad",
        "Saudi Arabia": "Riyadh",
        "the United Arab Emirates": "Abu Dhabi",
        "Qatar": "Doha",
        "Jordan": "Amman",
        "Lebanon": "Beirut",
        "Georgia": "Tbilisi",
        "Armenia": "Yerevan",
        "Cambodia": "Phnom Penh",
    },
    "Africa": {
        "Egypt": "Cairo",
        "Morocco": "Rabat",
        "Algeria": "Algiers",
        "Tunisia": "Tunis",
        "Libya": "Tripoli",
        "Nigeria": "Abuja",
        "Ghana": "Accra",
        "Senegal": "Dakar",
        "Kenya": "Nairobi",
        "Ethiopia": "Addis Ababa",
        "Uganda": "Kampala",
        "Rwanda": "Kigali",
        "Angola": "Luanda",
        "Zambia": "Lusaka",
        "Zimbabwe": "Harare",
        "Namibia": "Windhoek",
        "Madagascar": "Antananarivo",
    },
    "the Americas": {
        "the United States": "Washington, D.C.",
        "Canada": "Ottawa",
        "Mexico": "Mexico City",
        "Cuba": "Havana",
        "Jamaica": "Kingston",
        "Guatemala": "Guatemala City",
        "Costa Rica": "San José",
        "Panama": "Panama City",
        "Colombia": "Bogotá",
        "Venezuela": "Caracas",
        "Ecuador": "Quito",
        "Peru": "Lima",
        "Chile": "Santiago",
        "Argentina": "Buenos Aires",
        "Uruguay": "Montevideo",
        "Paraguay": "Asunción",
        "Brazil": "Brasília",
    },
    "Oceania": {
        "Australia": "Canberra",
        "New Zealand": "Wellington",
        "Fiji": "Suva",
        "Samoa": "Apia",
        "Papua New Guinea": "Port Moresby",
    },
}

CAPITALS: dict[str, str] = {
    country: capital for capitals in CONTINENTS.values() for country, capital in capitals.items()
}

ALIASES: dict[str, str] = {
    "the UK": "the United Kingdom",
    "Great Britain": "the United Kingdom",
    "the USA": "the United States",
    "the US": "the United States",
    "the United States of America": "the United States",
    "Holland": "the Netherlands",
    "Czechia": "the Czech Republic",
    "the UAE": "the United Arab Emirates",
}


def usual_name(country: str) -> str:
    """Return the name that the table has for a country or an alias of it."""
    return ALIASES.get(country, country)


def answer(country: str) -> str:
    """Return the one sentence the model gives for a country or an alias of it."""
    name = usual_name(country)
    return f"{CAPITALS[name]} is the capital of {name}."
